package kube

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/harness"
)

// object returns an object of a kind in namespace mine-default, with the run's label if there is a
// run.
func object(kind, name, run string, change ...func(*unstructured.Unstructured)) thing {
	for _, k := range kinds() {
		if k.name != kind {
			continue
		}
		o := &unstructured.Unstructured{Object: map[string]any{}}
		o.SetGroupVersionKind(schema.GroupVersionKind{
			Group: k.Group, Version: k.Version, Kind: kind,
		})
		o.SetName(name)
		o.SetUID(types.UID(kind + name))
		if !k.cluster {
			o.SetNamespace("mine-default")
		}
		if run != "" {
			o.SetLabels(map[string]string{
				labelManaged: managedBy, labelRun: run, labelHome: "mine-default",
			})
		}
		for _, c := range change {
			c(o)
		}
		return thing{k, o}
	}
	panic(kind)
}

func writes(secret string) func(*unstructured.Unstructured) {
	return func(o *unstructured.Unstructured) {
		_ = unstructured.SetNestedField(o.Object, secret, "spec", "secretName")
	}
}

func writtenFor(certificate string) func(*unstructured.Unstructured) {
	return func(o *unstructured.Unstructured) {
		o.SetAnnotations(map[string]string{"cert-manager.io/certificate-name": certificate})
	}
}

func ownedBy(certificate string) func(*unstructured.Unstructured) {
	return func(o *unstructured.Unstructured) {
		_ = unstructured.SetNestedSlice(o.Object, []any{map[string]any{
			"uid": "Certificate" + certificate,
		}}, "metadata", "ownerReferences")
	}
}

func namesOf(things []thing) []string {
	names := make([]string, len(things))
	for i, t := range things {
		names[i] = t.String()
	}
	return names
}

// What belongs to a run is what has its label, and what cert-manager made for its Certificates.
func TestClaims(t *testing.T) {
	t.Parallel()
	c := newClaims(func(run string) bool { return run == "r1" })
	things := []thing{
		object("Secret", "leaf", "", writtenFor("leaf")),
		object("Secret", "restored", "r1"),
		object("Secret", "next-key", "", ownedBy("leaf")),
		object("Secret", "theirs", "", writtenFor("theirs")),
		object("Secret", "leaf-2", "", writtenFor("another")),
		object("Secret", "plain", ""),
		object("CertificateRequest", "leaf-1", "", ownedBy("leaf")),
		object("CertificateRequest", "theirs-1", "", ownedBy("theirs")),
		object("Certificate", "leaf", "r1", writes("leaf")),
		object("Certificate", "leaf-2", "r1", writes("leaf-2")),
		object("Certificate", "theirs", "", writes("theirs")),
		object("Certificate", "other-run", "r2", writes("plain")),
		object("Deployment", "a-0", "r1"),
		object("Deployment", "b-0", "r2"),
	}
	mine := []string{
		"Secret mine-default/leaf", "Secret mine-default/restored", "Secret mine-default/next-key",
		"CertificateRequest mine-default/leaf-1", "Certificate mine-default/leaf",
		"Certificate mine-default/leaf-2", "Deployment mine-default/a-0",
	}
	assert.Equal(t, mine, namesOf(c.pick(things)))
	assert.Equal(t, "r1", c.of(things[0]))

	// cert-manager writes the Secret once more after the Certificate was deleted.
	late := []thing{object("Secret", "leaf", "", writtenFor("leaf"))}
	assert.Equal(t, []string{"Secret mine-default/leaf"}, namesOf(c.pick(late)))
}

// clusterOf returns a broom of run r1 in a cluster with things.
func clusterOf(things ...thing) (*broom, *fake.FakeDynamicClient) {
	lists := map[schema.GroupVersionResource]string{}
	for _, k := range kinds() {
		lists[k.GroupVersionResource] = k.name + "List"
	}
	objects := make([]runtime.Object, len(things))
	for i, t := range things {
		objects[i] = t.object
	}
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists, objects...)
	return &broom{
		client: client, namespaces: []string{"mine-default"}, run: "r1", issuers: true,
	}, client
}

// everything returns what is in the cluster.
func everything(t *testing.T, b *broom) []string {
	t.Helper()
	things, err := b.look(t.Context())
	require.NoError(t, err)
	return namesOf(things)
}

// A run removes what it made and nothing else, users of Secrets before their writers before them.
func TestClear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, client := clusterOf(
			object("Secret", "leaf", "", writtenFor("leaf")), object("Secret", "plain", ""),
			object("Certificate", "leaf", "r1", writes("leaf")), object("Issuer", "root", "r1"),
			object("Deployment", "a-0", "r1"), object("Deployment", "theirs", ""),
			object("ClusterIssuer", "self", "r1"), object("ClusterIssuer", "theirs", ""),
		)
		require.NoError(t, b.clear(t.Context()))
		assert.Equal(t, []string{
			"Deployment mine-default/theirs", "ClusterIssuer theirs", "Secret mine-default/plain",
		}, everything(t, b))
		var did []string
		for _, action := range client.Actions() {
			switch action := action.(type) {
			case clienttesting.PatchAction:
				did = append(did, "mark "+action.GetName())
			case clienttesting.DeleteAction:
				did = append(did, action.GetResource().Resource+" "+action.GetName())
			}
		}
		assert.Equal(t, []string{
			"mark leaf", "deployments a-0", "certificates leaf", "issuers root",
			"clusterissuers self", "secrets leaf",
		}, did)
	})
}

// What cannot be removed is named, with what to type.
func TestClearLeftovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, client := clusterOf(
			object("Deployment", "a-0", "r1"), object("ClusterIssuer", "s", "r1"))
		client.PrependReactor("delete", "*", func(clienttesting.Action) (
			bool, runtime.Object, error,
		) {
			return true, nil, nil // as where a finalizer holds
		})
		err := b.clear(t.Context())
		require.ErrorIs(t, err, clusters.ErrBroken)
		assert.EqualError(t, err, "the world does not work: left in the cluster: "+
			"Deployment mine-default/a-0, ClusterIssuer s; remove it by\n"+
			"  kubectl delete clusterissuers.cert-manager.io/s\n"+
			"  kubectl delete -n mine-default deployments.apps/a-0")
	})
}

// Of a cluster that is lent to runs as a whole, what has no namespace is theirs, too, and so are
// the namespaces that they made.
func TestClearWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := clusterOf(
			object("Namespace", "shop", "r1"), object("Namespace", "default", ""),
			object("ClusterIssuer", "self-signed", "r1", func(o *unstructured.Unstructured) {
				o.SetLabels(runMarks("r1"))
			}),
			object("Deployment", "a-0", "r1"), object("Deployment", "theirs", ""),
		)
		b.whole, b.issuers, b.namespaces = true, false, []string{""}
		require.NoError(t, b.clear(t.Context()))
		assert.Equal(t, []string{
			"Deployment mine-default/theirs", "Namespace default",
		}, everything(t, b))
	})
}

// What runs left that were killed is removed, but for what runs in other namespaces made.
func TestMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := clusterOf(
			object("Deployment", "a-0", "r0"), object("Deployment", "a-1", "r0"),
			object("Secret", "leaf", "", writtenFor("leaf")),
			object("Certificate", "leaf", "r0", writes("leaf")),
			object("ClusterIssuer", "self-signed", "r0"),
			object("ClusterIssuer", "far", "r7", func(o *unstructured.Unstructured) {
				o.SetLabels(map[string]string{
					labelManaged: managedBy, labelRun: "r7", labelHome: "elsewhere",
				})
			}),
		)
		var said []string
		ctx := harness.WithTalk(t.Context(), func(line string) { said = append(said, line) })
		require.NoError(t, b.makeRoom(ctx, smallPlan(), lent()))
		assert.Equal(t, []string{"ClusterIssuer far"}, everything(t, b))
		assert.Equal(t, []string{"removing what an earlier run left: " +
			"2 Deployments, a Certificate, a ClusterIssuer, a Secret"}, said)
	})
}

// Nothing of others is overwritten; all of it is told at once.
func TestCollisions(t *testing.T) {
	t.Parallel()
	b, client := clusterOf(
		object("Secret", "leaf", ""), object("Service", "a", ""), object("Service", "b", ""),
		object("Deployment", "a-1", "r0"), object("ClusterIssuer", "self-signed", ""),
		object("Certificate", "theirs", "", writes("root")), object("Issuer", "theirs", ""),
	)
	err := b.collisions(context.Background(), smallPlan(), lent())
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	assert.Equal(t, "nothing of others is overwritten; run elsewhere, or remove "+
		"what is in the way:", lines[0])
	assert.ElementsMatch(t, []string{
		"Secret mine-default/leaf exists and is none of certquake's",
		"Service mine-default/a exists and is none of certquake's",
		"Deployment mine-default/a-1 belongs to run r0",
		"ClusterIssuer self-signed exists and is none of certquake's",
		"Certificate mine-default/theirs, which is none of certquake's, writes Secret root, too",
	}, lines[1:])
	assert.Equal(t, "belongs to run r0 in namespace mine-default; if that was killed: "+
		"kubectl delete clusterissuer x", ownership(object("ClusterIssuer", "x", "r0")))
	assert.False(t, slices.ContainsFunc(client.Actions(), func(a clienttesting.Action) bool {
		return a.GetVerb() != "list"
	}), "nothing was changed")

	none, _ := clusterOf(object("Service", "b", ""))
	assert.NoError(t, none.collisions(context.Background(), smallPlan(), lent()))
}

// Each thing that is listed or removed is one that the rules allow.
func TestRulesOfTheBroom(t *testing.T) {
	t.Parallel()
	allowed := map[string]bool{}
	for _, rule := range slices.Concat(Rules(), ClusterRules(), RotationRules()) {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				allowed[verb+" "+resource+"."+rule.APIGroups[0]] = true
			}
		}
	}
	for _, k := range kinds() {
		if k.name == "Namespace" {
			continue // of clusters without an owner
		}
		assert.True(t, allowed["list "+k.Resource+"."+k.Group], k.name)
		assert.Equal(t, !k.follows, allowed["delete "+k.Resource+"."+k.Group], k.name)
	}
}
