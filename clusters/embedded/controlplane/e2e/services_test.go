//go:build embedded

package e2e

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/certquake/certquake/clusters/embedded/controlplane/cluster"
)

// TestServices reaches pods through cluster addresses, by every means and by the automatic
// choice among them.
func TestServices(t *testing.T) {
	bin, image := programs(t), testpod(t)
	_, err := exec.LookPath("nft")
	hasNFT := err == nil
	for name, c := range map[string]struct {
		services, want string
		nft            bool
	}{
		"relay":                {"relay", "relay", false},
		"kube-proxy":           {"kube-proxy", "kube-proxy", true},
		"chosen with nft":      {"", "kube-proxy", true},
		"chosen without nft":   {"", "relay", false},
		"refused, nft missing": {"kube-proxy", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			needs(t, hasNFT || !c.nft, "nft for kube-proxy (apt-get install nftables)")
			if !c.nft {
				withoutNFT(t)
			}
			config := cluster.Config{
				Dir: t.TempDir(), Images: map[string]string{testImage: image},
				Nodes:    []cluster.Node{node("one", time.Second), node("two", time.Second)},
				Services: c.services,
			}
			if c.want == "" {
				command := controlplane(bin)
				command.Stdin = input(t, config)
				assert.Contains(t, refused(t, command), "install the package nftables")
				return
			}
			r := start(t, bin, config)
			assert.Equal(t, c.want, r.ready.Services)
			spaces := namespaces(t, r.ready.InitPID)
			clusterAddresses(t, r, connect(t, r.ready.Kubeconfig), image)
			require.NoError(t, r.input.Close())
			require.NoError(t, r.command.Wait())
			requireGone(t, spaces, bin, config.Dir)
		})
	}
}

// withoutNFT leaves only those programs in PATH that every cluster needs.
func withoutNFT(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range cluster.Needed() {
		path, err := exec.LookPath(name)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(path, filepath.Join(dir, name)))
	}
	t.Setenv("PATH", dir)
}

// clusterAddresses calls a Service from pods, as one of its own pods and as the node.
func clusterAddresses(t *testing.T, r *running, api *client, program string) {
	t.Helper()
	_, err := api.kube.CoreV1().Services("default").Create(t.Context(), &core.Service{
		ObjectMeta: meta.ObjectMeta{Name: "web"},
		Spec: core.ServiceSpec{
			Selector: map[string]string{"app": "web"},
			Ports:    []core.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}, meta.CreateOptions{})
	require.NoError(t, err)
	for name, on := range map[string]string{
		"web-1": "one", "web-2": "two", "caller-1": "one", "caller-2": "two",
	} {
		pod := workload(name)
		pod.Labels["app"], _, _ = strings.Cut(name, "-")
		pod.Spec.NodeSelector = map[string]string{core.LabelHostname: on}
		api.run(pod)
	}
	for _, caller := range []string{"caller-1", "caller-2", "web-1", "web-2"} {
		seen := map[string]int{}
		require.Eventually(t, func() bool {
			text, err := api.ask(http.MethodGet, caller, "/get",
				url.Values{"url": {"http://web.default.svc.cluster.local/"}}, "")
			if err == nil {
				seen[strings.TrimSpace(text)]++
			}
			return seen["web-1"] > 0 && seen["web-2"] > 0
		}, 20*time.Second, 5*time.Millisecond, "%s sees %v", caller, seen)
		t.Logf("%s reached %v by %s", caller, seen, r.ready.Services)
	}
	// The API server's own Service has one endpoint outside pods; it refuses in its own words.
	text := api.mustAsk(http.MethodGet, "caller-1", "/get",
		url.Values{"url": {"http://kubernetes.default.svc.cluster.local:443/"}})
	assert.Contains(t, text, "HTTP request to an HTTPS server")
	atNode(t, r, api, program)
}

// atNode opens a connection from the cluster's own network, as the API server or a probe does.
func atNode(t *testing.T, r *running, api *client, program string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Log("not called from the node: entering its network needs root")
		return
	}
	service, err := api.kube.CoreV1().Services("default").
		Get(t.Context(), "web", meta.GetOptions{})
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), "/usr/bin/nsenter",
		"-t", strconv.Itoa(r.ready.InitPID), "-n", "--", program, "get",
		"http://"+service.Spec.ClusterIP+"/").CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), "web-")
}
