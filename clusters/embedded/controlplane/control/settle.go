package control

import (
	"context"
	"fmt"
	"time"

	discovery "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// apiReadyMax bounds the wait for the API server. A loaded machine takes ten times the usual.
const apiReadyMax = 90 * time.Second

// settle waits until the API server is ready and gives its Service the one endpoint it has.
func settle(ctx context.Context, config Config) error {
	client, err := adminClient(config)
	if err != nil {
		return err
	}
	ready := func(ctx context.Context) (bool, error) {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").
			Timeout(2*time.Second).Do(ctx).Error() == nil, nil
	}
	err = wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, apiReadyMax, true, ready)
	if err != nil {
		return fmt.Errorf("wait for kube-apiserver: %w", err)
	}
	slice := endpoint(config)
	_, err = client.DiscoveryV1().EndpointSlices(slice.Namespace).
		Create(ctx, slice, meta.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("give the API its endpoint: %w", err)
	}
	return nil
}

func adminClient(config Config) (*kubernetes.Clientset, error) {
	rest, err := clientcmd.BuildConfigFromFlags("", config.file("admin.kubeconfig"))
	if err != nil {
		return nil, fmt.Errorf("read admin kubeconfig: %w", err)
	}
	rest.QPS = -1
	return kubernetes.NewForConfig(rest)
}

func endpoint(config Config) *discovery.EndpointSlice {
	name, port, ready := "https", int32(config.Address.Port()), true
	return &discovery.EndpointSlice{
		ObjectMeta: meta.ObjectMeta{
			Name: "kubernetes", Namespace: meta.NamespaceDefault,
			Labels: map[string]string{discovery.LabelServiceName: "kubernetes"},
		},
		AddressType: discovery.AddressTypeIPv4,
		Endpoints: []discovery.Endpoint{{
			Addresses:  []string{config.Address.Addr().String()},
			Conditions: discovery.EndpointConditions{Ready: &ready},
		}},
		Ports: []discovery.EndpointPort{{Name: &name, Port: &port}},
	}
}
