package kubelet

import (
	"context"
	"fmt"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	upstream "k8s.io/kubernetes/pkg/kubelet"
	"k8s.io/kubernetes/pkg/kubelet/config"
	kubelettypes "k8s.io/kubernetes/pkg/kubelet/types"
)

// settle is how long the kubelet's own view of its node takes at most to fill.
const settle = time.Second

// withoutIdentities lets the kubelet of a user namespace run pods that ask for a user or group
// of their own. There is only one id to be had: the kubelet would fail to give volumes away to
// another. It therefore sees such pods as if they had not asked. The API server's pods stay as
// they are; nothing else of the kubelet's work is affected.
func withoutIdentities(
	ctx context.Context, node string, settings *rest.Config, to *upstream.Dependencies,
) error {
	client, err := anonymous(settings, to.KubeClient)
	if err != nil {
		return fmt.Errorf("make client without identities: %w", err)
	}
	to.PodConfig = config.NewPodConfig(&record.FakeRecorder{}, to.PodStartupLatencyTracker)
	began := time.Now()
	ready := func() bool { return time.Since(began) > settle }
	config.NewSourceApiserver(klog.FromContext(ctx), client, types.NodeName(node), ready,
		to.PodConfig.Channel(ctx, kubelettypes.ApiserverSource))
	return nil
}

// anonymousClient is a client whose core objects come through a stripping decoder.
type anonymousClient struct {
	kubernetes.Interface
	core *corev1.CoreV1Client
}

// CoreV1 returns the stripping client.
func (c anonymousClient) CoreV1() corev1.CoreV1Interface { return c.core }

func anonymous(
	settings *rest.Config, whole kubernetes.Interface,
) (kubernetes.Interface, error) {
	own := rest.CopyConfig(settings)
	version := core.SchemeGroupVersion
	own.GroupVersion, own.APIPath = &version, "/api"
	own.NegotiatedSerializer = stripping{
		rest.CodecFactoryForGeneratedClient(scheme.Scheme, scheme.Codecs).WithoutConversion(),
	}
	raw, err := rest.RESTClientFor(own)
	if err != nil {
		return nil, err
	}
	return anonymousClient{whole, corev1.New(raw)}, nil
}

// stripping hands out decoders that strip identities from pods.
type stripping struct{ runtime.NegotiatedSerializer }

// DecoderToVersion returns a decoder of lists as well as of watched objects.
func (s stripping) DecoderToVersion(
	decoder runtime.Decoder, version runtime.GroupVersioner,
) runtime.Decoder {
	return strippingDecoder{s.NegotiatedSerializer.DecoderToVersion(decoder, version)}
}

type strippingDecoder struct{ runtime.Decoder }

// Decode decodes and strips.
func (s strippingDecoder) Decode(
	text []byte, kind *schema.GroupVersionKind, into runtime.Object,
) (runtime.Object, *schema.GroupVersionKind, error) {
	object, got, err := s.Decoder.Decode(text, kind, into)
	switch object := object.(type) {
	case *core.Pod:
		strip(&object.Spec)
	case *core.PodList:
		for i := range object.Items {
			strip(&object.Items[i].Spec)
		}
	}
	return object, got, err
}

// strip removes every wish for an id, and the wish not to be root, which the user who started
// the cluster is not.
func strip(pod *core.PodSpec) {
	if wish := pod.SecurityContext; wish != nil {
		wish.RunAsUser, wish.RunAsGroup, wish.RunAsNonRoot = nil, nil, nil
		wish.FSGroup, wish.SupplementalGroups = nil, nil
	}
	for _, list := range [][]core.Container{pod.InitContainers, pod.Containers} {
		for _, container := range list {
			if wish := container.SecurityContext; wish != nil {
				wish.RunAsUser, wish.RunAsGroup, wish.RunAsNonRoot = nil, nil, nil
			}
		}
	}
}
