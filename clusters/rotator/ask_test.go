package rotator

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/workloads/rotation"
)

// serving returns a pod that answers like that at its port 1, which has the name metrics.
func serving(t *testing.T, answer http.HandlerFunc) *core.Pod {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	require.NoError(t, err)
	port, err := strconv.ParseInt(address.Port(), 10, 32)
	require.NoError(t, err)
	pod := &core.Pod{}
	pod.Spec.Containers = []core.Container{
		{Name: "a", Ports: []core.ContainerPort{{Name: "web", ContainerPort: 1}}},
		{Name: "b", Ports: []core.ContainerPort{{Name: "metrics", ContainerPort: int32(port)}}},
	}
	pod.Status.PodIP = address.Hostname()
	return pod
}

// A pod that answers anything but its metrics has told nothing, and nobody else is asked for it.
func TestAskOne(t *testing.T) {
	t.Parallel()
	const page = `certquake_keyring_info{secret="jwt",primary="r1",ids="r1"} 1` + "\n"
	elsewhere := false
	other := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		elsewhere = true
		_, _ = io.WriteString(out, page)
	}))
	t.Cleanup(other.Close)
	for name, row := range map[string]struct {
		answer http.HandlerFunc
		want   error
	}{
		"its metrics": {func(out http.ResponseWriter, request *http.Request) {
			assert.Equal(t, "/m", request.URL.Path)
			_, _ = io.WriteString(out, page)
		}, nil},
		"an error": {func(out http.ResponseWriter, _ *http.Request) {
			http.Error(out, page, http.StatusInternalServerError)
		}, errPage},
		"somebody else's address": {func(out http.ResponseWriter, request *http.Request) {
			http.Redirect(out, request, other.URL, http.StatusFound)
		}, errPage},
		"a page without an end": {func(out http.ResponseWriter, _ *http.Request) {
			line := strings.Repeat("x 1\n", 1<<16)
			for range pageMax/len(line) + 1 {
				_, _ = io.WriteString(out, line)
			}
			_, _ = io.WriteString(out, page)
		}, errPage},
	} {
		pod := serving(t, row.answer)
		e := &endpoint{port: intstr.FromString("metrics"), path: "/m"}
		got, err := newScraper(time.Now, nil).askOne(t.Context(), pod, e, "jwt")
		require.ErrorIs(t, err, row.want, name)
		if row.want == nil {
			assert.Equal(t, []rotation.Ring{{Primary: "r1", IDs: []string{"r1"}}}, got)
		}
	}
	assert.False(t, elsewhere)
	pod := serving(t, nil)
	e := &endpoint{port: intstr.FromString("metric"), path: "/m"}
	_, err := newScraper(time.Now, nil).askOne(t.Context(), pod, e, "jwt")
	require.ErrorIs(t, err, errNoPort)
	pod.Status.PodIP = ""
	_, err = newScraper(time.Now, nil).askOne(t.Context(), pod, e, "jwt")
	require.ErrorIs(t, err, errNoAddress)
}

// The sample in the README is one that makes sense, and says what it says.
func TestSample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("config/samples/rotatingsecret.yaml")
	require.NoError(t, err)
	rs := &api.RotatingSecret{}
	require.NoError(t, yaml.UnmarshalStrict(text, rs))
	a, problems := read(rs)
	assert.Empty(t, problems)
	assert.Equal(t, rotation.Spec{
		Generate: rotation.Key{Kind: rotation.Symmetric, Length: 32}, Every: 720 * time.Hour,
		RetireAfter: 2 * time.Hour, Gate: rotation.Uptake, UptakeTimeout: time.Hour,
		IDs: rotation.Counter, Prefix: "r", Migrate: true,
	}, a.rotation)
	assert.Equal(t, "app=shop", a.ask.selector.String())
	assert.Equal(t, "migrate", a.job.Spec.Template.Spec.Containers[0].Name)
}
