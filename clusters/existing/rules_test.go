package existing

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorization "k8s.io/api/authorization/v1"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"

	"github.com/certquake/certquake/clusters/access"
	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// printed reads what RBAC prints: the rules of each role, by kind and name.
func printed(t *testing.T, text []byte) (names []string, rules map[string][]rbac.PolicyRule) {
	t.Helper()
	rules = map[string][]rbac.PolicyRule{}
	for document := range strings.SplitSeq(strings.TrimPrefix(string(text), "---\n"), "---\n") {
		var role rbac.Role // a ClusterRole has the same fields
		require.NoError(t, yaml.Unmarshal([]byte(document), &role))
		name := role.Kind + " " + role.Namespace + "/" + role.Name
		names = append(names, name)
		rules[name] = role.Rules
		for _, unsaid := range []string{"\nspec:", "\nstatus:", "creationTimestamp"} {
			assert.NotContains(t, document, unsaid)
		}
	}
	return names, rules
}

// An account is given what a run needs, and nothing that it does not.
func TestRBAC(t *testing.T) {
	t.Parallel()
	text, err := New().RBAC("runner", nil, false, false)
	require.NoError(t, err)
	names, rules := printed(t, text)
	assert.Equal(t, []string{
		"Namespace /certquake", "ServiceAccount certquake/runner", "Role certquake/runner",
		"RoleBinding certquake/runner", "ClusterRole /certquake:runner",
		"ClusterRoleBinding /certquake:runner",
	}, names)
	assert.Equal(t, append(namespaceRules("certquake"), kube.RotationRules()...),
		rules["Role certquake/runner"])
	assert.Equal(t, versionRules(), rules["ClusterRole /certquake:runner"])
	for _, rule := range slices.Concat(rules["Role certquake/runner"], versionRules()) {
		assert.NotContains(t, rule.Verbs, "*")
		assert.NotContains(t, rule.Resources, "*")
		assert.NotContains(t, rule.Resources, "pods/exec")
	}

	text, err = New().RBAC("runner", []string{"b", "a"}, true, true)
	require.NoError(t, err)
	names, rules = printed(t, text)
	assert.Equal(t, []string{
		"Namespace /b", "Namespace /a", "ServiceAccount b/runner", "Role b/runner",
		"RoleBinding b/runner", "Role a/runner", "RoleBinding a/runner", "ClusterRole /b:runner",
		"ClusterRoleBinding /b:runner",
	}, names)
	assert.Equal(t, append(namespaceRules("a"), kube.RotationRules()...), rules["Role a/runner"])
	assert.Equal(t, slices.Concat(versionRules(), kube.ClusterRules(), kube.DefinitionRules(),
		kubeletRules()), rules["ClusterRole /b:runner"])
	assert.Equal(t, 3,
		strings.Count(string(text), "- kind: ServiceAccount\n  name: runner\n  namespace: b\n"))

	_, err = New().RBAC("runner", []string{"kube-system"}, false, false)
	require.ErrorIs(t, err, harness.ErrSettings)
	_, err = New().RBAC("Runner", nil, false, false)
	require.ErrorIs(t, err, harness.ErrSettings)
	require.ErrorContains(t, err, `--service-account: none can be called "Runner"`)
}

// asking returns an API server that allows everything but what it is told, spelled as errors do.
func asking(forbidden ...string) *fake.Clientset {
	client := fake.NewClientset()
	client.PrependReactor("create", "selfsubjectaccessreviews",
		func(action clienttesting.Action) (bool, runtime.Object, error) {
			object := action.(clienttesting.CreateAction).GetObject().DeepCopyObject()
			review := object.(*authorization.SelfSubjectAccessReview)
			said := access.Wording(*review.Spec.ResourceAttributes)
			review.Status.Allowed = !slices.Contains(forbidden, said)
			return true, review, nil
		})
	return client
}

// Everything that the account may not do is named, with the command that helps.
func TestPermitted(t *testing.T) {
	t.Parallel()
	c := &cluster{namespaces: []string{"a", "b"}, client: asking()}
	require.NoError(t, c.permitted(t.Context()))
	c.client = asking("patch secrets in namespace a", "get namespaces b",
		"update deployments.apps/scale in namespace b", "create clusterissuers.cert-manager.io",
		"get leases.coordination.k8s.io certquake in namespace a")
	err := c.permitted(t.Context())
	require.ErrorIs(t, err, harness.ErrBroken)
	require.ErrorContains(t, err, "the account may not: "+
		"get leases.coordination.k8s.io certquake in namespace a, patch secrets in namespace a, "+
		"get namespaces b, update deployments.apps/scale in namespace b; "+
		"`certquake rbac --namespace a --namespace b | kubectl apply -f -` makes one that may")
	assert.NotContains(t, err.Error(), "clusterissuers", "there is none in the plan")

	c.plan = plan(t, "year-bomb")
	err = c.permitted(t.Context())
	require.ErrorContains(t, err, ", create clusterissuers.cert-manager.io; "+
		"`certquake rbac --namespace a --namespace b --allow-cluster-scoped | ")
}

// A namespace that is there is used and stays; one that is not is made if that is permitted.
func TestFindNamespaces(t *testing.T) {
	t.Parallel()
	now := meta.Now()
	objects := []runtime.Object{
		&core.Namespace{ObjectMeta: meta.ObjectMeta{Name: "there"}},
		&core.Namespace{ObjectMeta: meta.ObjectMeta{Name: "left", Labels: kube.RunLabels("r0")}},
		&core.Namespace{ObjectMeta: meta.ObjectMeta{
			Name: "going", DeletionTimestamp: &now, Finalizers: []string{"x"},
		}},
	}
	find := func(forbidden string, names ...string) (*cluster, error) {
		client := asking(forbidden)
		for _, object := range objects {
			require.NoError(t, client.Tracker().Add(object.DeepCopyObject()))
		}
		c := &cluster{namespaces: names, client: client, run: "r1", plan: scenarios.Plan{}}
		return c, c.findNamespaces(t.Context())
	}
	c, err := find("", "there", "left", "new")
	require.NoError(t, err)
	assert.Equal(t, []string{"new"}, c.absent)
	assert.Equal(t, []owned{{"left", "r0"}}, c.left, "a run made it")
	assert.Empty(t, c.own, "that run may go on")
	require.NoError(t, c.makeNamespace(t.Context(), "new"))
	made, err := c.client.CoreV1().Namespaces().Get(t.Context(), "new", meta.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "r1", kube.RunOf(made))
	require.NoError(t, c.removeNamespaces(t.Context()))
	left, err := c.client.CoreV1().Namespaces().List(t.Context(), meta.ListOptions{})
	require.NoError(t, err)
	require.Len(t, left.Items, 3)
	for i, name := range []string{"going", "left", "there"} {
		assert.Equal(t, name, left.Items[i].Name)
	}

	_, err = find("", "going")
	require.ErrorContains(t, err, "namespace going is being deleted: wait until it is gone, or "+
		"choose another --namespace")
	_, err = find("create namespaces new", "new", "there")
	require.ErrorIs(t, err, harness.ErrBroken)
	require.ErrorContains(t, err, "there is no namespace new, and the account may not: create "+
		"namespaces new; `certquake rbac --namespace new --namespace there | kubectl apply -f -`")
	c, err = find("delete namespaces left", "left")
	require.NoError(t, err)
	assert.Empty(t, c.left, "it stays where it may not be removed")
}

// A namespace that stays is named, with what to type.
func TestRemoveNamespaceLeft(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset(&core.Namespace{
		ObjectMeta: meta.ObjectMeta{Name: "x", Labels: kube.RunLabels("r1")},
	})
	client.PrependReactor("delete", "namespaces", func(clienttesting.Action) (
		bool, runtime.Object, error,
	) {
		return true, nil, apierrors.NewForbidden(core.Resource("namespaces"), "x", nil)
	})
	c := &cluster{client: client, run: "r1", own: []owned{{"x", "r1"}}}
	ctx, cancel := context.WithTimeout(t.Context(), removeEvery/2)
	defer cancel()
	err := c.removeNamespaces(ctx)
	require.ErrorIs(t, err, harness.ErrBroken)
	require.ErrorContains(t, err, "left in the cluster: namespace x: ")
	require.ErrorContains(t, err, "remove it by\n  kubectl delete namespace x")
}

// A namespace that another run took over, or that is gone, is not this run's to remove; one that
// the cluster takes long to remove is left to it.
func TestRemoveNamespaceOfAnother(t *testing.T) {
	t.Parallel()
	now := meta.Now()
	named := func(name, run string) *core.Namespace {
		return &core.Namespace{ObjectMeta: meta.ObjectMeta{
			Name: name, Labels: kube.RunLabels(run), UID: types.UID(name),
		}}
	}
	going := named("going", "r1")
	going.DeletionTimestamp, going.Finalizers = &now, []string{"x"}
	taken := &lock{namespace: "taken", run: "r2"}
	client := fake.NewClientset(going, named("taken", "r1"), named("again", "r2"),
		named("mine", "r0"), taken.claim(&coordination.Lease{
			ObjectMeta: meta.ObjectMeta{Name: leaseName, Namespace: "taken"},
		}))
	c := &cluster{client: client, run: "r1", own: []owned{
		{"taken", "r1"}, {"again", "r1"}, {"gone", "r1"}, {"mine", "r0"}, {"going", "r1"},
	}}
	ctx, cancel := context.WithTimeout(t.Context(), removeEvery*3/2)
	defer cancel()
	said := ""
	ctx = harness.WithTalk(ctx, func(line string) { said += line })
	require.NoError(t, c.removeNamespaces(ctx))
	assert.Equal(t, "the cluster goes on to remove namespace going", said)
	left, err := client.CoreV1().Namespaces().List(t.Context(), meta.ListOptions{})
	require.NoError(t, err)
	require.Len(t, left.Items, 3)
	for i, name := range []string{"again", "going", "taken"} {
		assert.Equal(t, name, left.Items[i].Name)
	}
}
