package access

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness"
)

// kubeconfig writes one of a cluster at a host.
func kubeconfig(t *testing.T, host string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf(`
apiVersion: v1
kind: Config
current-context: one
clusters: [{name: c, cluster: {server: "https://%s:6443"}}]
contexts: [{name: one, context: {cluster: c}}]
`, host)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// Outside a pod it is the environment's kubeconfig. A file or a context that is named is used
// wherever that is.
func TestOrPod(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("KUBECONFIG", kubeconfig(t, "of-the-environment"))
	config, err := Kubeconfig{}.OrPod()
	require.NoError(t, err)
	assert.Equal(t, "https://of-the-environment:6443", config.Host)

	t.Setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "443")
	config, err = Kubeconfig{File: kubeconfig(t, "named")}.OrPod()
	require.NoError(t, err)
	assert.Equal(t, "https://named:6443", config.Host)
	config, err = Kubeconfig{Context: "one"}.OrPod()
	require.NoError(t, err)
	assert.Equal(t, "https://of-the-environment:6443", config.Host)
	_, err = Kubeconfig{Context: "two"}.OrPod()
	require.ErrorIs(t, err, harness.ErrSettings)
	require.ErrorContains(t, err, `the kubeconfig has no context "two": there are one`)
}
