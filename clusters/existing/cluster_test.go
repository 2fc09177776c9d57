//go:build linux && (embedded || e2e)

package existing_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authentication "k8s.io/api/authentication/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/certquake/certquake/clusters/existing"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/harness/sim"
	"github.com/certquake/certquake/reports"
	"github.com/certquake/certquake/scenarios"
)

// account is the name of the service account of runs.
const account = "runner"

// built is where `make embedded` puts the programs.
const built = "../../bin"

// somebodys is a cluster that plays somebody's, seen by its administrator.
type somebodys struct {
	config     *rest.Config
	kubeconfig string
	client     kubernetes.Interface
	dynamic    dynamic.Interface
}

// image is the workload's on the cluster.
var image = os.Getenv(runnersImage)

// bring brings a cluster up whose kubelets have the defaults.
func bring(t *testing.T) *somebodys {
	t.Helper()
	var nodes []scenarios.PlannedNode
	for _, name := range []string{"one", "two", "three"} {
		nodes = append(nodes, scenarios.PlannedNode{
			Name: name, SyncFrequency: time.Minute, ChangeDetection: scenarios.Watch,
		})
	}
	target, err := raise(t, nodes)
	require.NoError(t, err)
	image = target.Image
	t.Cleanup(func() { assert.NoError(t, target.Down(context.WithoutCancel(t.Context()))) })
	c := &somebodys{config: target.Config, kubeconfig: target.Kubeconfig}
	c.client, err = kubernetes.NewForConfig(target.Config)
	require.NoError(t, err)
	c.dynamic, err = dynamic.NewForConfig(target.Config)
	require.NoError(t, err)
	return c
}

// resources returns how the objects of a kind of RBAC are called.
func resources(kind string) schema.GroupVersionResource {
	switch kind {
	case "Namespace":
		return core.SchemeGroupVersion.WithResource("namespaces")
	case "ServiceAccount":
		return core.SchemeGroupVersion.WithResource("serviceaccounts")
	}
	return schema.GroupVersionResource{
		Group: "rbac.authorization.k8s.io", Version: "v1", Resource: strings.ToLower(kind) + "s",
	}
}

// permit applies what RBAC prints, and returns a function that removes it.
func (c *somebodys) permit(
	t *testing.T, namespaces []string, clusterScoped, kubelets bool,
) (undo func()) {
	t.Helper()
	text, err := existing.New().RBAC(account, namespaces, clusterScoped, kubelets)
	require.NoError(t, err)
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(string(text)), 4096)
	var made []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		_, err = c.dynamic.Resource(resources(object.GetKind())).Namespace(object.GetNamespace()).
			Create(t.Context(), object, meta.CreateOptions{})
		require.NoError(t, err)
		made = append(made, object)
	}
	return func() {
		for _, object := range made {
			ctx := context.WithoutCancel(t.Context())
			err := c.dynamic.Resource(resources(object.GetKind())).
				Namespace(object.GetNamespace()).
				Delete(ctx, object.GetName(), meta.DeleteOptions{})
			if !apierrors.IsNotFound(err) {
				require.NoError(t, err)
			}
		}
		for _, namespace := range namespaces {
			c.gone(t, namespace)
		}
	}
}

// gone waits until a namespace is gone.
func (c *somebodys) gone(t *testing.T, namespace string) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := c.client.CoreV1().Namespaces().Get(
			context.WithoutCancel(t.Context()), namespace, meta.GetOptions{})
		return apierrors.IsNotFound(err)
	}, 30*time.Second, 100*time.Millisecond)
}

// login returns a kubeconfig that holds nothing but the address of the server and a token of the
// service account.
func (c *somebodys) login(
	t *testing.T, namespace string, server *clientcmdapi.Cluster,
) string {
	t.Helper()
	answer, err := c.client.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account,
		&authentication.TokenRequest{}, meta.CreateOptions{})
	require.NoError(t, err)
	return login(t, server, answer.Status.Token)
}

// server returns where the API server is.
func (c *somebodys) server() *clientcmdapi.Cluster {
	cluster := clientcmdapi.NewCluster()
	cluster.Server = c.config.Host
	cluster.CertificateAuthorityData = c.config.CAData
	cluster.CertificateAuthority = c.config.CAFile
	return cluster
}

// login writes a kubeconfig with a token.
func login(t *testing.T, cluster *clientcmdapi.Cluster, token string) string {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["somebodys"] = cluster
	config.AuthInfos["runner"] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts["work"] = &clientcmdapi.Context{Cluster: "somebodys", AuthInfo: "runner"}
	config.CurrentContext = "work"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*config, path))
	return path
}

// inventory returns the name of every object that a run could have left.
func (c *somebodys) inventory(t *testing.T) []string {
	t.Helper()
	issuing := schema.GroupVersion{Group: "cert-manager.io", Version: "v1"}
	apps := schema.GroupVersion{Group: "apps", Version: "v1"}
	coordination := schema.GroupVersion{Group: "coordination.k8s.io", Version: "v1"}
	slices1 := schema.GroupVersion{Group: "discovery.k8s.io", Version: "v1"}
	var names []string
	for _, kind := range []schema.GroupVersionResource{
		core.SchemeGroupVersion.WithResource("namespaces"),
		core.SchemeGroupVersion.WithResource("pods"),
		core.SchemeGroupVersion.WithResource("services"),
		core.SchemeGroupVersion.WithResource("secrets"),
		slices1.WithResource("endpointslices"),
		apps.WithResource("deployments"), apps.WithResource("replicasets"),
		issuing.WithResource("certificates"), issuing.WithResource("certificaterequests"),
		issuing.WithResource("issuers"), issuing.WithResource("clusterissuers"),
		coordination.WithResource("leases"),
	} {
		found, err := c.dynamic.Resource(kind).List(t.Context(), meta.ListOptions{})
		require.NoError(t, err)
		for _, object := range found.Items {
			if strings.HasPrefix(object.GetNamespace(), "kube-") {
				continue // the cluster's own, whose Leases come and go
			}
			names = append(names,
				kind.Resource+" "+object.GetNamespace()+"/"+object.GetName())
		}
	}
	slices.Sort(names)
	return names
}

// unchanged checks that everything is as it was; endpoints go a little later than their Service.
func (c *somebodys) unchanged(t *testing.T, before []string) {
	t.Helper()
	if !assert.Eventually(t, func() bool {
		return slices.Equal(before, c.inventory(t))
	}, 5*time.Second, 200*time.Millisecond) {
		assert.Equal(t, before, c.inventory(t))
	}
}

// backend returns the backend as its flags make it.
func backend(t *testing.T, args ...string) *existing.Backend {
	t.Helper()
	b, err := existingBackend(args...)
	require.NoError(t, err)
	return b
}

func existingBackend(args ...string) (*existing.Backend, error) {
	b := existing.New()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	b.Flags(flags)
	return b, flags.Parse(append(args, "--workload-image", image))
}

// planned returns the plan of a scenario of the library, or of a file.
func planned(t *testing.T, name string, speed float64) scenarios.Plan {
	t.Helper()
	var scenario *scenarios.Scenario
	var err error
	if filepath.Ext(name) == "" {
		scenario, err = scenarios.Open(name, nil)
	} else {
		var data []byte
		data, err = os.ReadFile(name)
		require.NoError(t, err)
		scenario, err = scenarios.Parse(name, data, nil, nil)
	}
	require.NoError(t, err)
	plan, err := scenario.Plan(1)
	require.NoError(t, err)
	plan, err = plan.Faster(speed)
	require.NoError(t, err)
	return plan
}

// performer is a backend that can be performed on.
type performer interface {
	harness.Backend
	Name() string
	Basis() record.Basis
}

// perform runs a plan and judges it.
func perform(t *testing.T, plan scenarios.Plan, b performer) *reports.Report {
	t.Helper()
	return performAloud(t, plan, b, func(string) {})
}

// performAloud does the same and hands on what is said meanwhile.
func performAloud(
	t *testing.T, plan scenarios.Plan, b performer, hear func(line string),
) *reports.Report {
	t.Helper()
	ctx := harness.WithTalk(t.Context(), func(line string) {
		t.Log(line)
		hear(line)
	})
	analyzer := reports.NewAnalyzer(plan, record.Header{
		Version: record.Version, Scenario: plan.Scenario, Digest: plan.Digest(), Seed: plan.Seed,
		Backend: b.Name(), Basis: b.Basis(), Base: plan.Start,
	})
	require.NoError(t, harness.Run(ctx, plan, b, analyzer, nil))
	report, err := reports.Judge(analyzer.Finish())
	require.NoError(t, err)
	for _, finding := range report.Findings {
		t.Logf("%s: %s: %s", finding.Status, finding.ID, finding.Reason)
	}
	return report
}

// statuses returns what each check came to.
func statuses(report *reports.Report) map[scenarios.CheckID]reports.Status {
	all := map[scenarios.CheckID]reports.Status{}
	for _, finding := range report.Findings {
		all[finding.ID] = finding.Status
	}
	return all
}

// reason returns the reason of a finding.
func reason(report *reports.Report, id scenarios.CheckID) string {
	for _, finding := range report.Findings {
		if finding.ID == id {
			return finding.Reason
		}
	}
	return ""
}

// simulated returns what the simulator makes of a plan.
func simulated(t *testing.T, plan scenarios.Plan) *reports.Report {
	t.Helper()
	return perform(t, plan, sim.New())
}

// witness stands before the API server and remembers what was asked of it.
type witness struct {
	mu   sync.Mutex
	seen map[string]bool // "verb resource"
}

// watch returns a witness and where it is.
func (c *somebodys) watch(t *testing.T) (*witness, *clientcmdapi.Cluster) {
	t.Helper()
	target, err := url.Parse(c.config.Host)
	require.NoError(t, err)
	anonymous := rest.AnonymousClientConfig(c.config)
	transport, err := rest.TransportFor(anonymous)
	require.NoError(t, err)
	w := &witness{seen: map[string]bool{}}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: transport, FlushInterval: -1,
	}
	handler := func(rw http.ResponseWriter, r *http.Request) {
		w.take(r)
		proxy.ServeHTTP(rw, r)
	}
	server := httptest.NewTLSServer(http.HandlerFunc(handler))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	cluster := clientcmdapi.NewCluster()
	cluster.Server = server.URL
	cluster.CertificateAuthorityData = pem.EncodeToMemory(&pem.Block{
		Type: "CERTIFICATE", Bytes: server.Certificate().Raw,
	})
	return w, cluster
}

// take remembers a request of the objects in namespaces.
func (w *witness) take(r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	at := slices.Index(parts, "namespaces")
	if at < 0 || len(parts) < at+3 {
		return
	}
	resource := parts[at+2]
	if len(parts) > at+4 {
		resource += "/" + parts[at+4]
	}
	named := len(parts) > at+3
	verb := map[string]string{
		http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch",
		http.MethodDelete: "delete", http.MethodGet: "get",
	}[r.Method]
	switch {
	case r.URL.Query().Get("watch") != "":
		verb = "watch"
	case verb == "get" && !named:
		verb = "list"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[verb+" "+resource] = true
}

// asked reports what was seen.
func (w *witness) asked(what string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[what]
}
