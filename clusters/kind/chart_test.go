package kind

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// rendered is the chart of cert-manager's module, which the go command has to have already.
func rendered(t *testing.T, local bool) *manager {
	t.Helper()
	cache, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE").Output()
	require.NoError(t, err)
	dir := filepath.Join(string(cache[:len(cache)-1]), managerModule+"@"+certManagerVersion)
	_, err = os.Stat(dir)
	require.NoError(t, err, "the tests' own modules include cert-manager")
	text, err := renderChart(t.Context(), certManagerVersion, local)
	require.NoError(t, err)
	m, err := readManager(text)
	require.NoError(t, err)
	return m
}

func TestChartIsRenderedForImagesBuiltHere(t *testing.T) {
	t.Parallel()
	m := rendered(t, true)
	assert.Equal(t, certManagerVersion, m.version)
	images := m.images()
	slices.Sort(images)
	assert.Equal(t, []string{
		"certquake/cert-manager-cainjector:" + certManagerVersion,
		"certquake/cert-manager-controller:" + certManagerVersion,
		"certquake/cert-manager-webhook:" + certManagerVersion,
	}, images)
	var kinds []string
	for _, object := range m.objects {
		if len(kinds) == 0 || kinds[len(kinds)-1] != object.GetKind() {
			kinds = append(kinds, object.GetKind())
		}
		assert.NotEqual(t, "Job", object.GetKind(), "its own check of the API is not wanted")
	}
	assert.Equal(t, []string{"Namespace", "CustomResourceDefinition"}, kinds[:2])
	assert.Equal(t, "Deployment", kinds[len(kinds)-1])
}

func TestChartIsRenderedForPublishedImages(t *testing.T) {
	t.Parallel()
	assert.Contains(t, rendered(t, false).images(),
		"quay.io/jetstack/cert-manager-webhook:"+certManagerVersion)
}

// No fault on a worker must touch cert-manager, and it must be gone, and at work, without delay.
func TestDeploymentsAreFitted(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, object := range rendered(t, true).objects {
		if object.GetKind() != "Deployment" {
			continue
		}
		seen++
		var deployment appsv1.Deployment
		require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object,
			&deployment))
		pod := deployment.Spec.Template.Spec
		assert.Equal(t, map[string]string{"node-role.kubernetes.io/control-plane": ""},
			pod.NodeSelector)
		assert.Equal(t, int64(1), *pod.TerminationGracePeriodSeconds)
		args := pod.Containers[0].Args
		assert.Equal(t, deployment.Name != webhookName, slices.Contains(args, noElection), args)
		if probe := pod.Containers[0].ReadinessProbe; probe != nil {
			assert.Equal(t, int32(1), probe.PeriodSeconds)
		}
	}
	assert.Equal(t, 3, seen)
}

func TestManifestsThatAreNotCertManagers(t *testing.T) {
	t.Parallel()
	_, err := readManager([]byte("kind: Namespace\napiVersion: v1\nmetadata: {name: a}\n"))
	require.ErrorContains(t, err, "no Deployment cert-manager")
	_, err = readManager([]byte("a: [\n"))
	require.ErrorContains(t, err, "read its manifest")
}

func TestFetch(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/cert-manager.yaml" {
				http.NotFound(w, r)
				return
			}
			_, _ = w.Write([]byte("kind: Namespace\n"))
		}))
	t.Cleanup(server.Close)
	got, err := fetch(t.Context(), server.URL+"/cert-manager.yaml")
	require.NoError(t, err)
	assert.Equal(t, "kind: Namespace\n", string(got))
	_, err = fetch(t.Context(), server.URL+"/v0")
	require.ErrorContains(t, err, "404")
}
