package operator

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// A pod is asked by its address alone, and what it does not say is an error.
func TestByAPI(t *testing.T) {
	list := metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}
	pods := corev1.PodList{TypeMeta: list, Items: []corev1.Pod{
		{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "ended"}},
		{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "v-0"},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning},
		},
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/api/v1/namespaces/front/pods":
			_ = json.NewEncoder(w).Encode(corev1.PodList{TypeMeta: list})
		case "/api/v1/namespaces/shop/pods":
			assert.Equal(t, "status.podIP=10.1.2.3", r.URL.Query().Get("fieldSelector"))
			_ = json.NewEncoder(w).Encode(pods)
		case "/api/v1/namespaces/shop/pods/v-0:7480/proxy/metrics":
			_, _ = io.WriteString(w, "page "+r.Header.Get("Accept"))
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	client := kubernetes.NewForConfigOrDie(&rest.Config{Host: server.URL})
	asking := http.Client{Transport: byAPI{client, []string{"front", "shop"}}}
	ask := func(path string) (*http.Response, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			"http://10.1.2.3:7480"+path, http.NoBody)
		require.NoError(t, err)
		request.Header.Set("Accept", "text/plain")
		return asking.Do(request)
	}
	response, err := ask("/metrics")
	require.NoError(t, err)
	page, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, "page text/plain", string(page))

	response, err = ask("/elsewhere")
	if err == nil {
		_ = response.Body.Close()
	}
	require.ErrorContains(t, err, "ask pod v-0 by way of the API server")
	pods.Items = pods.Items[:1]
	response, err = ask("/metrics")
	if err == nil {
		_ = response.Body.Close()
	}
	require.ErrorContains(t, err, "no pod is at 10.1.2.3")
}
