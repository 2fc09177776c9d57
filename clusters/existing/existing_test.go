package existing

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// kubeconfig writes a kubeconfig of two contexts, of which red is the current one.
func kubeconfig(t *testing.T, server string) string {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.CurrentContext = "red"
	for _, name := range []string{"red", "blue"} {
		cluster := clientcmdapi.NewCluster()
		cluster.Server = server
		config.Clusters[name] = cluster
		config.Contexts[name] = &clientcmdapi.Context{Cluster: name}
	}
	path := filepath.Join(t.TempDir(), "config")
	require.NoError(t, clientcmd.WriteToFile(*config, path))
	return path
}

// backend returns the backend as its flags make it.
func backend(t *testing.T, args ...string) *Backend {
	t.Helper()
	b := New()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	b.Flags(flags)
	require.NoError(t, flags.Parse(args))
	return b
}

// plan returns the plan of a scenario of the library.
func plan(t *testing.T, name string, change ...func(*scenarios.Plan)) scenarios.Plan {
	t.Helper()
	scenario, err := scenarios.Open(name, nil)
	require.NoError(t, err)
	plan, err := scenario.Plan(1)
	require.NoError(t, err)
	for _, c := range change {
		c(&plan)
	}
	return plan
}

// Whatever the settings lack is told at once, and whatever of the plan they do not allow.
func TestCheck(t *testing.T) {
	t.Parallel()
	config := kubeconfig(t, "https://127.0.0.1:1")
	tests := []struct {
		name     string
		args     []string
		scenario string
		change   func(*scenarios.Plan)
		is       error
		want     []string // "" for a valid one
	}{
		{
			"all is well",
			[]string{"--kubeconfig", config, "--workload-image", "x"},
			"leaf-rotation", nil, nil, nil,
		},
		{
			"no context of that name",
			[]string{"--kubeconfig", config, "--workload-image", "x", "--context", "green"},
			"hostname-mismatch", nil, harness.ErrSettings,
			[]string{
				`--context: the kubeconfig has no context "green": there are blue, red`,
			},
		},
		{
			"no such file",
			[]string{"--kubeconfig", config + "x", "--workload-image", "x"},
			"hostname-mismatch", nil, harness.ErrSettings,
			[]string{
				"--kubeconfig: stat " + config + "x: no such file or directory",
			},
		},
		{
			"several",
			[]string{"--kubeconfig", config, "--namespace", "My"},
			"hostname-mismatch", nil, harness.ErrSettings,
			[]string{
				"--workload-image is missing: make the image of the workload by " +
					"`certquake image`, push it",
				`--namespace: no namespace can be called "My": a lowercase RFC 1123 label`,
			},
		},
		{
			"not for runs",
			[]string{"--kubeconfig", config, "--workload-image", "x", "--namespace", "kube-system"},
			"hostname-mismatch", nil, harness.ErrSettings,
			[]string{
				"--namespace: kube-system is not for runs: choose one of the run's own",
			},
		},
		{
			"a ClusterIssuer",
			[]string{"--kubeconfig", config, "--workload-image", "x"},
			"year-bomb", nil, harness.ErrUnsupported,
			[]string{
				"ClusterIssuer self-signed-issuer has no namespace, and the whole cluster could " +
					"use it during the run: say --allow-cluster-scoped, or make it an Issuer",
			},
		},
		{
			"a ClusterIssuer with a CA",
			[]string{
				"--kubeconfig", config, "--workload-image", "x", "--allow-cluster-scoped",
			},
			"leaf-rotation",
			func(p *scenarios.Plan) {
				p.World.ClusterIssuers = []certmanager.ClusterIssuer{{
					ObjectMeta: meta.ObjectMeta{Name: "authority"},
					Spec: certmanager.IssuerSpec{IssuerConfig: certmanager.IssuerConfig{
						CA: &certmanager.CAIssuer{SecretName: "x"},
					}},
				}}
			},
			harness.ErrUnsupported,
			[]string{
				"the Secret of ClusterIssuer authority would have to be in cert-manager's own " +
					"namespace: make it an Issuer, or use another backend",
			},
		},
		{
			"a fault of the cluster",
			[]string{"--kubeconfig", config, "--workload-image", "x"},
			"webhook-outage-short",
			func(p *scenarios.Plan) { p.World.ClusterIssuers = nil },
			harness.ErrUnsupported,
			[]string{"stop-webhook is not possible on existing"},
		},
		{
			"a fault of the cluster, left out",
			[]string{"--kubeconfig", config, "--workload-image", "x", "--allow-partial"},
			"webhook-outage-short",
			func(p *scenarios.Plan) { p.World.ClusterIssuers = nil }, nil, nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.change == nil {
				tt.change = func(*scenarios.Plan) {}
			}
			tried := plan(t, tt.scenario, tt.change)
			if tt.scenario == "leaf-rotation" && tt.is == nil {
				tried.World.ClusterIssuers = nil
			}
			err := backend(t, tt.args...).Check(tried)
			if tt.is == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, tt.is)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

// One planned namespace is the one of the settings, several are told apart.
func TestPlace(t *testing.T) {
	t.Parallel()
	s := settings{namespace: "rotation"}
	one := plan(t, "hostname-mismatch")
	assert.Equal(t, []string{"rotation"}, s.places(one))
	assert.Equal(t, "rotation", s.place(one)("default"))
	two := plan(t, "hostname-mismatch", func(p *scenarios.Plan) { p.Peers[0].Namespace = "shop" })
	assert.Equal(t, []string{"rotation-default", "rotation-shop"}, s.places(two))
	assert.Equal(t, "rotation-shop", s.place(two)("shop"))
	two.Peers[0].Namespace = strings.Repeat("x", 60)
	s.image, s.kubeconfig = "x", kubeconfig(t, "https://127.0.0.1:1")
	assert.ErrorContains(t, s.check(two), "must be no more than 63 characters")
}

func TestRender(t *testing.T) {
	t.Parallel()
	text, err := backend(t, "--namespace", "rotation").Render(plan(t, "hostname-mismatch"))
	require.NoError(t, err)
	assert.Contains(t, string(text), "\n  namespace: rotation\n")
	assert.NotContains(t, string(text), "\n  namespace: default\n")
	assert.Contains(t, string(text), "image: certquake/workload\n")
	assert.NotContains(t, string(text), "kubernetes.io/hostname:", "no node is chosen for a pod")
}

// usual is a kubelet with the defaults.
var usual = kubelet{node: "n", known: true, sync: time.Minute, how: scenarios.Watch}

func TestCompare(t *testing.T) {
	t.Parallel()
	fast := usual
	fast.node, fast.sync = "f", time.Second
	caching := kubelet{
		node: "c", known: true, sync: time.Minute, how: scenarios.Cache, ttl: time.Minute,
	}
	secret := kubelet{node: "s"}
	asked := func(k kubelet) scenarios.PlannedNode {
		return scenarios.PlannedNode{
			Name: "p", SyncFrequency: k.sync, ChangeDetection: k.how, CacheTTL: k.ttl,
		}
	}
	tests := []struct {
		name  string
		asked kubelet
		has   []kubelet
		want  string // "" for alike
	}{
		{"the same", fast, []kubelet{fast, fast}, ""},
		{"the same cache", caching, []kubelet{caching}, ""},
		{
			"slower", fast,
			[]kubelet{usual},
			"syncFrequency 1s and Watch was planned; the kubelet of n has syncFrequency 1m0s and " +
				"Watch",
		},
		{
			"one of two differs", usual,
			[]kubelet{usual, caching},
			"syncFrequency 1m0s and Watch was planned; the kubelet of c has syncFrequency 1m0s " +
				"and Cache 1m0s",
		},
		{"defaults, unknown", usual, []kubelet{secret}, ""},
		{"defaults, nobody may look", usual, nil, ""},
		{
			"not the defaults, unknown", fast,
			[]kubelet{fast, secret},
			"syncFrequency 1s and Watch was planned; what the cluster's nodes have is not known",
		},
		{
			"not the defaults, nobody may look", fast, nil,
			"syncFrequency 1s and Watch was planned; what the cluster's nodes have is not known",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := compare([]scenarios.PlannedNode{asked(tt.asked)}, tt.has)
			assert.Equal(t, tt.want, got["p"])
		})
	}
}

// api is an API server of canned answers.
type api map[string]any

func (a api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	answer, known := a[r.URL.Path]
	if status, ok := answer.(meta.Status); ok {
		w.WriteHeader(int(status.Code))
	} else if !known {
		w.WriteHeader(http.StatusNotFound)
		answer = meta.Status{Status: "Failure", Code: http.StatusNotFound, Reason: "NotFound"}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// connected returns a cluster on such a server.
func connected(t *testing.T, answers api) (*cluster, error) {
	t.Helper()
	server := httptest.NewServer(answers)
	t.Cleanup(server.Close)
	c := &cluster{
		settings:   settings{kubeconfig: kubeconfig(t, server.URL), namespace: "rotation"},
		namespaces: []string{"rotation"}, versions: map[string]string{},
	}
	return c, c.connect(t.Context())
}

// The kubelets that count are those that pods may run on, and tell their settings themselves.
func TestKubelets(t *testing.T) {
	t.Parallel()
	node := func(name string, change func(*core.Node)) core.Node {
		n := core.Node{ObjectMeta: meta.ObjectMeta{Name: name}}
		change(&n)
		return n
	}
	c, err := connected(t, api{
		"/version": map[string]string{"gitVersion": "v1.99.0"},
		"/api/v1/nodes": core.NodeList{Items: []core.Node{
			node("plain", func(*core.Node) {}),
			node("caching", func(n *core.Node) {
				n.Annotations = map[string]string{ttlAnnotation: "15"}
			}),
			node("silent", func(*core.Node) {}),
			node("closed", func(n *core.Node) { n.Spec.Unschedulable = true }),
			node("control", func(n *core.Node) {
				n.Spec.Taints = []core.Taint{{Key: "x", Effect: core.TaintEffectNoSchedule}}
			}),
		}},
		"/api/v1/nodes/plain/proxy/configz": map[string]any{"kubeletconfig": map[string]any{
			"syncFrequency": "1m0s", "configMapAndSecretChangeDetectionStrategy": "Watch",
		}},
		"/api/v1/nodes/caching/proxy/configz": map[string]any{"kubeletconfig": map[string]any{
			"syncFrequency": "10s", "configMapAndSecretChangeDetectionStrategy": "Cache",
		}},
		"/api/v1/nodes/silent/proxy/configz": map[string]any{},
	})
	require.NoError(t, err)
	assert.Equal(t, "v1.99.0", c.versions["kubernetes"])
	kubelets, err := c.kubelets(t.Context())
	require.EqualError(t, err, "the kubelet of silent does not tell them")
	assert.Equal(t, []kubelet{
		{node: "plain", known: true, sync: time.Minute, how: scenarios.Watch},
		{
			node: "caching", known: true, sync: 10 * time.Second, how: scenarios.Cache,
			ttl: 15 * time.Second,
		},
		{node: "silent"},
	}, kubelets)
}

func TestConnect(t *testing.T) {
	t.Parallel()
	_, err := connected(t, api{"/version": meta.Status{
		Status: "Failure", Code: http.StatusUnauthorized, Reason: meta.StatusReasonUnauthorized,
	}})
	require.ErrorIs(t, err, harness.ErrBroken)
	require.ErrorContains(t, err, "(context red) does not know the account: its token or "+
		"certificate may have expired; log in again")
	_, err = connected(t, api{})
	require.ErrorIs(t, err, harness.ErrBroken)
	require.ErrorContains(t, err, "(context red) refuses: ")

	c := &cluster{settings: settings{kubeconfig: kubeconfig(t, "http://127.0.0.1:1")}}
	err = c.connect(t.Context())
	require.ErrorIs(t, err, harness.ErrBroken)
	require.ErrorContains(t, err, "the API server at http://127.0.0.1:1 (context red) cannot be "+
		"reached: ")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, c.connect(ctx), context.Canceled)
}

// There must be a cert-manager; which one it is, an account need not see.
func TestFindCertManager(t *testing.T) {
	t.Parallel()
	version := map[string]string{"gitVersion": "v1.99.0"}
	c, err := connected(t, api{"/version": version})
	require.NoError(t, err)
	err = c.findCertManager(t.Context())
	require.ErrorIs(t, err, harness.ErrBroken)
	require.ErrorContains(t, err, "there is no cert-manager in the cluster: install it")

	const definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/" + certificateCRD
	answers := api{
		"/version": version, "/apis/cert-manager.io/v1": meta.APIResourceList{},
		definition: meta.Status{Status: "Failure", Code: http.StatusForbidden},
	}
	c, err = connected(t, answers)
	require.NoError(t, err)
	require.NoError(t, c.findCertManager(t.Context()))
	assert.Equal(t, "of unknown version", c.versions["cert-manager"])
	answers[definition] = map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{
			"name": certificateCRD, "labels": map[string]string{
				"app.kubernetes.io/version": "v1.21.2",
			},
		},
	}
	require.NoError(t, c.findCertManager(t.Context()))
	assert.Equal(t, "v1.21.2", c.versions["cert-manager"])
}
