//go:build linux && (embedded || e2e)

package existing_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/clusters/kube/operator"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/harnesstest"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/reports"
	"github.com/certquake/certquake/scenarios"
)

// The variables by which this program is told to be a run, with a kubeconfig and an image.
const (
	asRunner     = "CERTQUAKE_TEST_RUNNER"
	runnersImage = "CERTQUAKE_TEST_IMAGE"
)

// TestMain makes this program a run that can be killed, and the operator of one.
func TestMain(m *testing.M) {
	operator.Main()
	if kubeconfig := os.Getenv(asRunner); kubeconfig != "" {
		fmt.Println(runner(kubeconfig))
		return
	}
	os.Exit(m.Run())
}

// runner performs a scenario and says what it does.
func runner(kubeconfig string) error {
	b, err := existingBackend(
		"--kubeconfig", kubeconfig, "--namespace", "rotation", "--allow-partial")
	if err != nil {
		return err
	}
	scenario, err := scenarios.Open("quick-leaf-rotation", nil)
	if err != nil {
		return err
	}
	plan, err := scenario.Plan(1)
	if err != nil {
		return err
	}
	if plan, err = plan.Faster(10); err != nil {
		return err
	}
	ctx := harness.WithTalk(context.Background(), func(line string) { fmt.Println(line) })
	var rows harnesstest.Rows
	return harness.Run(ctx, plan, b, &rows, nil)
}

// With the permissions that are printed, and no others, runs come to what the simulator says, and
// nothing is left of them.
func TestRuns(t *testing.T) {
	c := bring(t)
	t.Run("two namespaces", func(t *testing.T) { twoNamespaces(t, c) })
	t.Run("other kubelets", func(t *testing.T) { otherKubelets(t, c) })
	t.Run("read kubelets", func(t *testing.T) { readKubelets(t, c) })
	t.Run("cluster issuers", func(t *testing.T) { clusterIssuers(t, c) })
	t.Run("faults of the cluster", func(t *testing.T) { clusterFaults(t, c) })
	t.Run("namespace of the run", func(t *testing.T) { ownNamespace(t, c) })
	t.Run("keys", func(t *testing.T) { keys(t, c) })
	t.Run("missing verb", func(t *testing.T) { missingVerb(t, c) })
	t.Run("things of others", func(t *testing.T) { thingsOfOthers(t, c) })
	t.Run("killed", func(t *testing.T) { killed(t, c) })
	t.Run("interrupted", func(t *testing.T) { interrupted(t, c) })
	t.Run("account", func(t *testing.T) { accounts(t, c) })
}

// twoNamespaces runs what the defaults of kubelets suffice for, and holds the permissions against
// what was asked of the API server.
func twoNamespaces(t *testing.T, c *somebodys) {
	t.Helper()
	namespaces := []string{"shop-left", "shop-right"}
	defer c.permit(t, namespaces, false, false)()
	before := c.inventory(t)
	witness, server := c.watch(t)
	plan := planned(t, "testdata/two-namespaces.yaml", 1)
	b := backend(t, "--kubeconfig", c.login(t, "shop-left", server),
		"--namespace", "shop")
	nodes := 0
	report := performAloud(t, plan, b, func(line string) {
		nodes = max(nodes, strings.Count(line, " runs "))
	})
	assert.Equal(t, reports.Pass, report.Verdict)
	assert.Equal(t, statuses(simulated(t, plan)), statuses(report))
	assert.Equal(t, 3, nodes, "pods are spread over all")
	c.unchanged(t, before)

	var idle []string
	for _, rule := range kube.Rules() {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				if !witness.asked(verb + " " + resource) {
					idle = append(idle, verb+" "+resource)
				}
			}
		}
	}
	// The one is for pods that do not become ready, the other for a garbage collector that is
	// late; a Secret is created only if cert-manager does not do so first.
	for _, what := range idle {
		assert.Contains(t,
			[]string{"list events", "delete certificaterequests", "create secrets"}, what)
	}
}

// otherKubelets runs a scenario whose nodes have other kubelets.
func otherKubelets(t *testing.T, c *somebodys) {
	t.Helper()
	defer c.permit(t, []string{"certquake"}, false, false)()
	before := c.inventory(t)
	plan := planned(t, "quick-leaf-rotation", 10)
	login := c.login(t, "certquake", c.server())
	var rows harnesstest.Rows
	err := harness.Run(t.Context(), plan, backend(t, "--kubeconfig", login), &rows, nil)
	require.ErrorIs(t, err, harness.ErrUnsupported)
	require.ErrorContains(t, err, "node fast: syncFrequency 1s and Watch was planned")
	require.ErrorContains(t, err, "certquake rbac --namespace certquake --read-kubelets")
	assert.Empty(t, rows)
	assert.Equal(t, before, c.inventory(t))

	report := perform(t, plan, backend(t, "--kubeconfig", login, "--allow-partial"))
	assert.Equal(t, reports.Inconclusive, report.Verdict)
	assert.Contains(t, reason(report, scenarios.Propagation),
		"the nodes are not those of the plan (--allow-partial), so its bound of 7.3s says "+
			"nothing: node fast: syncFrequency 1s and Watch was planned; ")
	want := statuses(simulated(t, plan))
	want[scenarios.Propagation] = reports.Inconclusive
	assert.Equal(t, want, statuses(report))
	c.unchanged(t, before)
}

// readKubelets has an account that may look at the settings of kubelets, and compares them.
func readKubelets(t *testing.T, c *somebodys) {
	t.Helper()
	defer c.permit(t, []string{"certquake"}, false, true)()
	plan := planned(t, "quick-leaf-rotation", 10)
	b := backend(t, "--kubeconfig", c.login(t, "certquake", c.server()))
	err := harness.Run(t.Context(), plan, b, &harnesstest.Rows{}, nil)
	require.ErrorIs(t, err, harness.ErrUnsupported)
	require.ErrorContains(t, err, "node fast: syncFrequency 1s and Watch was planned; "+kubeletsAre)
}

// clusterIssuers runs the Akka documentation's own manifests, where pods may do as little as there
// is a standard for.
func clusterIssuers(t *testing.T, c *somebodys) {
	t.Helper()
	defer c.permit(t, []string{"certquake"}, true, false)()
	_, err := c.client.CoreV1().Namespaces().Patch(t.Context(), "certquake", types.MergePatchType,
		[]byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`),
		meta.PatchOptions{})
	require.NoError(t, err)
	before := c.inventory(t)
	plan := planned(t, "restart-during-swap", 60)
	login := c.login(t, "certquake", c.server())
	err = backend(t, "--kubeconfig", login).Check(plan)
	require.ErrorIs(t, err, harness.ErrUnsupported)
	require.ErrorContains(t, err, "ClusterIssuer self-signed-issuer has no namespace")

	report := perform(t, plan,
		backend(t, "--kubeconfig", login, "--allow-partial", "--allow-cluster-scoped"))
	assert.Equal(t, reports.Fail, report.Verdict)
	assert.Equal(t, statuses(simulated(t, plan))[scenarios.Associations],
		statuses(report)[scenarios.Associations])
	c.unchanged(t, before)
}

// clusterFaults runs a scenario with a fault that nobody does to a cluster of others.
func clusterFaults(t *testing.T, c *somebodys) {
	t.Helper()
	defer c.permit(t, []string{"certquake"}, false, false)()
	before := c.inventory(t)
	plan := planned(t, "quick-issuer-outage", 10)
	login := c.login(t, "certquake", c.server())
	err := backend(t, "--kubeconfig", login).Check(plan)
	require.ErrorIs(t, err, harness.ErrUnsupported)
	require.ErrorContains(t, err, "stop-issuer is not possible on existing")

	report := perform(t, plan, backend(t, "--kubeconfig", login, "--allow-partial"))
	assert.NotEqual(t, reports.Pass, report.Verdict)
	assert.Equal(t, reports.Inconclusive, statuses(report)[scenarios.Proof])
	assert.Contains(t, reason(report, scenarios.Proof),
		"not performed (--allow-partial): stop-issuer is not possible on existing")
	c.unchanged(t, before)
}

// ownNamespace runs as somebody who may make namespaces.
func ownNamespace(t *testing.T, c *somebodys) {
	t.Helper()
	before := c.inventory(t)
	plan := planned(t, "hostname-mismatch", 60)
	b := backend(t, "--kubeconfig", c.kubeconfig, "--namespace", "rotation", "--allow-partial")
	report := perform(t, plan, b)
	assert.Equal(t, reports.Fail, report.Verdict)
	assert.Equal(t, simulated(t, plan).Verdict, report.Verdict)
	c.unchanged(t, before)
}

// keys has an operator rotate keys of a cluster that did not know RotatingSecrets, and does not in
// the end.
func keys(t *testing.T, c *somebodys) {
	t.Helper()
	defer c.permit(t, []string{"certquake"}, true, false)()
	before := c.inventory(t)
	witness, server := c.watch(t)
	plan := planned(t, "testdata/keys.yaml", 1)
	login := c.login(t, "certquake", server)
	b := backend(t, "--kubeconfig", login)
	err := harness.Run(t.Context(), plan, b, &harnesstest.Rows{}, nil)
	require.ErrorIs(t, err, harness.ErrUnsupported)
	require.ErrorContains(t, err, "certquake rotator crd | kubectl apply -f -")

	var rows harnesstest.Rows
	ctx := harness.WithTalk(t.Context(), func(line string) { t.Log(line) })
	require.NoError(t, harness.Run(ctx, plan,
		backend(t, "--kubeconfig", login, "--allow-cluster-scoped"), &rows, nil))
	ended, written := map[record.Outcome]int64{}, []string{}
	for _, row := range rows {
		if row.Kind == record.Request {
			ended[row.Outcome] += row.Count
		}
		if row.Kind == record.Write {
			written = append(written, row.Detail)
		}
	}
	assert.Equal(t, map[record.Outcome]int64{record.OK: 150}, ended)
	assert.Equal(t, []string{"r1*", "r1* r2"}, written)
	c.unchanged(t, before)
	_, err = c.dynamic.Resource(schema.GroupVersionResource{
		Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
	}).Get(t.Context(), "rotatingsecrets.certquake.dev", meta.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), "%v", err)
	for _, what := range []string{
		"patch rotatingsecrets", "delete rotatingsecrets",
		"update rotatingsecrets/status", "update secrets", "watch jobs", "create events",
	} {
		assert.True(t, witness.asked(what), what)
	}
}

// missingVerb takes one verb after the other away.
func missingVerb(t *testing.T, c *somebodys) {
	t.Helper()
	defer c.permit(t, []string{"certquake"}, false, false)()
	before := c.inventory(t)
	login := c.login(t, "certquake", c.server())
	plan := planned(t, "hostname-mismatch", 60)
	roles := c.client.RbacV1().Roles("certquake")
	whole, err := roles.Get(t.Context(), "runner", meta.GetOptions{})
	require.NoError(t, err)
	// Some of what rotates keys has the rights that every run needs, too.
	whole.Rules = whole.Rules[:len(whole.Rules)-len(kube.RotationRules())]
	set := func(rules []rbac.PolicyRule) {
		role, err := roles.Get(t.Context(), "runner", meta.GetOptions{})
		require.NoError(t, err)
		role.Rules = rules
		_, err = roles.Update(t.Context(), role, meta.UpdateOptions{})
		require.NoError(t, err)
	}
	for i, rule := range whole.Rules {
		for j, verb := range rule.Verbs {
			t.Run(verb+" "+strings.ReplaceAll(rule.Resources[0], "/", "."), func(t *testing.T) {
				set(without(whole.DeepCopy().Rules, i, j))
				want := "the account may not: " + spelled(verb, rule)
				var problem error
				require.Eventually(t, func() bool { // the authorizer learns of it soon
					b := backend(t, "--kubeconfig", login, "--allow-partial")
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					ctx = harness.WithTalk(ctx, func(line string) {
						if strings.HasPrefix(line, "Kubernetes ") {
							cancel() // it was allowed
						}
					})
					problem = harness.Run(ctx, plan, b, &harnesstest.Rows{}, nil)
					return strings.Contains(problem.Error(), want)
				}, 20*time.Second, 50*time.Millisecond, "%s: %v", want, &problem)
				require.ErrorIs(t, problem, harness.ErrBroken)
				assert.ErrorContains(t, problem, "`certquake rbac --namespace certquake | "+
					"kubectl apply -f -`")
			})
		}
	}
	set(whole.Rules)
	c.unchanged(t, before)
}

// without leaves a verb out of one of the rules.
func without(rules []rbac.PolicyRule, i, verb int) []rbac.PolicyRule {
	rules[i].Verbs = slices.Delete(rules[i].Verbs, verb, verb+1)
	if len(rules[i].Verbs) == 0 {
		return slices.Delete(rules, i, i+1)
	}
	return rules
}

// spelled is how an error begins to name what a rule allows.
func spelled(verb string, rule rbac.PolicyRule) string {
	resource, sub, _ := strings.Cut(rule.Resources[0], "/")
	said := verb + " " + resource
	if rule.APIGroups[0] != "" {
		said += "." + rule.APIGroups[0]
	}
	if sub != "" {
		said += "/" + sub
	}
	return said
}

// thingsOfOthers has objects in the way that no run made.
func thingsOfOthers(t *testing.T, c *somebodys) {
	t.Helper()
	defer c.permit(t, []string{"certquake"}, false, false)()
	login := c.login(t, "certquake", c.server())
	secrets := c.client.CoreV1().Secrets("certquake")
	mine := &core.Secret{
		ObjectMeta: meta.ObjectMeta{Name: "mesh-leaf"}, Data: map[string][]byte{"x": []byte("y")},
	}
	_, err := secrets.Create(t.Context(), mine, meta.CreateOptions{})
	require.NoError(t, err)
	service := &core.Service{
		ObjectMeta: meta.ObjectMeta{Name: "mesh"}, Spec: core.ServiceSpec{ClusterIP: "None"},
	}
	_, err = c.client.CoreV1().Services("certquake").Create(
		t.Context(), service, meta.CreateOptions{})
	require.NoError(t, err)
	before := c.inventory(t)
	b := backend(t, "--kubeconfig", login, "--allow-partial")
	err = harness.Run(t.Context(), planned(t, "hostname-mismatch", 60), b, &harnesstest.Rows{}, nil)
	require.ErrorContains(t, err, "Secret certquake/mesh-leaf exists and is none of certquake's")
	require.ErrorContains(t, err, "Service certquake/mesh exists and is none of certquake's")
	c.unchanged(t, before)
	held, err := secrets.Get(t.Context(), "mesh-leaf", meta.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, mine.Data, held.Data)
}

// killed has a run be killed in a namespace that it made. While it lives nobody else gets it,
// afterwards the next run removes what it left.
func killed(t *testing.T, c *somebodys) {
	t.Helper()
	before := c.inventory(t)
	program, err := os.Executable()
	require.NoError(t, err)
	first := exec.Command(program)
	first.Env = append(os.Environ(), asRunner+"="+c.kubeconfig, runnersImage+"="+image)
	out, err := first.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, first.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "8 pods are ready" {
		t.Log("first: " + lines.Text())
	}
	plan := planned(t, "hostname-mismatch", 60)
	b := backend(t, "--kubeconfig", c.kubeconfig, "--namespace", "rotation", "--allow-partial")
	err = harness.Run(t.Context(), plan, b, &harnesstest.Rows{}, nil)
	require.ErrorContains(t, err, "namespace rotation belongs to run ")
	assert.Subset(t, c.inventory(t), []string{
		"namespaces /rotation", "deployments rotation/mesh-0", "secrets rotation/mesh-leaf",
		"leases rotation/certquake",
	}, "the first goes on")
	require.NoError(t, first.Process.Kill())
	require.Error(t, first.Wait())
	require.NotEqual(t, before, c.inventory(t), "it left something")

	var said []string
	ctx := harness.WithTalk(t.Context(), func(line string) {
		t.Log(line)
		said = append(said, line)
	})
	require.NoError(t, harness.Run(ctx, plan, b, &harnesstest.Rows{}, nil))
	all := strings.Join(said, "\n")
	assert.Contains(t, all, "waiting up to 15s for a sign of life")
	assert.Contains(t, all, "removing what an earlier run left: 8 Deployments, a Service, "+
		"2 Certificates, 2 CertificateRequests, 2 Issuers, 2 Secrets")
	c.unchanged(t, before)
}

// interrupted ends runs in their course, and while they begin.
func interrupted(t *testing.T, c *somebodys) {
	t.Helper()
	defer c.permit(t, []string{"certquake"}, false, false)()
	before := c.inventory(t)
	login := c.login(t, "certquake", c.server())
	plan := planned(t, "quick-leaf-rotation", 10)
	for _, at := range []string{"Kubernetes ", "2 Certificates issued", "8 pods are ready", ""} {
		b := backend(t, "--kubeconfig", login, "--allow-partial")
		ctx, cancel := context.WithCancel(t.Context())
		var when time.Time
		end := func() {
			when = time.Now()
			cancel()
		}
		ctx = harness.WithTalk(ctx, func(line string) {
			if at != "" && strings.HasPrefix(line, at) {
				end()
			}
		})
		err := harness.Run(ctx, plan, b, &harnesstest.Rows{},
			func(_ time.Duration, action *scenarios.Action) {
				if action != nil {
					end()
				}
			})
		cancel()
		t.Logf("%q: left %s after the interrupt", at, time.Since(when).Round(time.Millisecond))
		require.ErrorIs(t, err, context.Canceled, "at %q", at)
		require.NotErrorIs(t, err, harness.ErrBroken, "at %q", at)
		c.unchanged(t, before)
	}
}

// accounts are refused in one clear sentence each.
func accounts(t *testing.T, c *somebodys) {
	t.Helper()
	before := c.inventory(t)
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	nobody := clientcmdapi.NewCluster()
	nobody.Server = closed.URL
	tests := []struct{ name, kubeconfig, want string }{
		{"expired", login(t, c.server(), "expired"), "(context work) does not know the account: " +
			"its token or certificate may have expired"},
		{"away", login(t, nobody, "x"), "(context work) cannot be reached: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := backend(t, "--kubeconfig", tt.kubeconfig)
			err := harness.Run(t.Context(), planned(t, "hostname-mismatch", 60), b,
				&harnesstest.Rows{}, nil)
			require.ErrorIs(t, err, harness.ErrBroken)
			assert.ErrorContains(t, err, tt.want)
		})
	}
	assert.Equal(t, before, c.inventory(t))
}
