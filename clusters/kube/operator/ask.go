package operator

import (
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
)

// byAPI asks pods by way of the API server, since the operator of a run is not on the network that
// they are on. Requests name pods by their addresses. It implements http.RoundTripper.
type byAPI struct {
	client     kubernetes.Interface
	namespaces []string
}

// RoundTrip implements http.RoundTripper. Whatever the API server does not bring is a page that is
// not there.
func (b byAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	pod, err := b.at(r)
	if err != nil {
		return nil, err
	}
	page, err := b.client.CoreV1().RESTClient().Get().Namespace(pod.Namespace).Resource("pods").
		Name(pod.Name+":"+r.URL.Port()).SubResource("proxy").
		Suffix(strings.TrimPrefix(r.URL.Path, "/")).SetHeader("Accept", r.Header.Get("Accept")).
		Stream(r.Context())
	if err != nil {
		return nil, fmt.Errorf("ask pod %s by way of the API server: %w", pod.Name, err)
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Body: page, Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
	}, nil
}

// at returns the pod of the address that a request is for.
func (b byAPI) at(r *http.Request) (*corev1.Pod, error) {
	selector := fields.OneTermEqualSelector("status.podIP", r.URL.Hostname()).String()
	for _, namespace := range b.namespaces {
		pods, err := b.client.CoreV1().Pods(namespace).List(r.Context(),
			metav1.ListOptions{FieldSelector: selector})
		if err != nil {
			return nil, fmt.Errorf("find the pod at %s: %w", r.URL.Hostname(), err)
		}
		for i := range pods.Items {
			pod := &pods.Items[i]
			if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil {
				return pod, nil
			}
		}
	}
	return nil, fmt.Errorf("no pod is at %s", r.URL.Hostname())
}
