package kube

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/rotator"
	rotating "github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/bearer"
	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/peer"
	"github.com/certquake/certquake/workloads/rotation"
	"github.com/certquake/certquake/workloads/token"
)

// tokenPlan is an issuer that calls a verifier with a mounted key ring and one with a JWKS, twice a
// second.
func tokenPlan(t *testing.T) scenarios.Plan {
	t.Helper()
	scenario, err := scenarios.Parse("tokens.yaml", []byte(`
apiVersion: certquake.dev/v1alpha1
kind: Scenario
metadata: {name: tokens}
spec:
  why: keys rotate
  manifests:
  - apiVersion: certquake.dev/v1alpha1
    kind: RotatingSecret
    metadata: {name: keys, namespace: shop}
    spec: {secretName: jwt, generate: {kind: ec}}
  workloads:
  - {name: i, namespace: shop, tokenIssuer: {replicas: 1, secret: jwt, tokenTTL: 1m, reuse: 30s}}
  - {name: v, namespace: shop, tokenVerifier: {replicas: 1, secret: jwt, readOnce: true}}
  - {name: j, tokenVerifier: {replicas: 1, jwks: {from: i, policy: panva-jose}, leeway: 5s}}
  load:
  - {workload: i, to: [v, j], requests: {rate: 2/s}}
  horizon: 1m
`), nil, nil)
	require.NoError(t, err)
	plan, err := scenario.Plan(1)
	require.NoError(t, err)
	return plan
}

// Pods with tokens are told what the plan says; those that fetch keys mount no Secret. The port of
// their metrics has the name that a RotatingSecret finds by default.
func TestTokenWorkloads(t *testing.T) {
	t.Parallel()
	plan := tokenPlan(t)
	objects, err := Workloads(plan, lent())
	require.NoError(t, err)
	configs, mounts := map[string]bearer.Config{}, map[string][]string{}
	for _, object := range objects {
		switch o := object.(type) {
		case *corev1.Service:
			assert.Equal(t, "http", o.Spec.Ports[0].Name)
			assert.Equal(t, "metrics", o.Spec.Ports[1].Name)
		case *appsv1.Deployment:
			pod := o.Spec.Template.Spec
			container := pod.Containers[0]
			assert.Equal(t, "tokens", container.Args[0])
			assert.Equal(t, "metrics", container.Ports[1].Name)
			assert.Equal(t, int32(adminPort), container.Ports[1].ContainerPort)
			configs[o.Name], err = bearer.DecodeConfig([]byte(container.Args[2]))
			require.NoError(t, err)
			for i, volume := range pod.Volumes {
				assert.Equal(t, volume.Name, container.VolumeMounts[i].Name)
				if volume.Secret != nil {
					mounts[o.Name] = append(mounts[o.Name], volume.Secret.SecretName)
				}
			}
			assert.Len(t, container.VolumeMounts, len(pod.Volumes))
		}
	}
	assert.Equal(t, map[string][]string{"i-0": {"jwt"}, "v-0": {"jwt"}}, mounts)

	issuer, verifier, fetcher := configs["i-0"], configs["v-0"], configs["j-0"]
	planned := plan.Pods[slices.IndexFunc(plan.Pods,
		func(p scenarios.Pod) bool { return p.Name == "i-0" })]
	assert.Equal(t, bearer.Issuer, issuer.Role)
	assert.Equal(t, time.Minute, issuer.Token.TTL)
	assert.Equal(t, token.ES256, issuer.Token.Algorithm)
	assert.Equal(t, 30*time.Second, issuer.Reuse)
	assert.Equal(t, 5*time.Minute, issuer.KeyringTTL)
	assert.Equal(t, planned.TokenAge, issuer.TokenAge)
	assert.Equal(t, planned.CacheAge, issuer.CacheAge)
	assert.Equal(t, harness.RequestDeadline, issuer.Deadline)
	assert.Equal(t, []peer.Target{
		{Pod: "v-0", Address: "v-0.v.mine-shop.svc.cluster.local.:7443"},
		{Pod: "j-0", Address: "j-0.j.mine-default.svc.cluster.local.:7443"},
	}, issuer.Streams[0].Targets)
	assert.Equal(t, keyring.Never, verifier.KeyringTTL)
	assert.Equal(t, bearer.Verifier, fetcher.Role)
	assert.Equal(t, "jwt", verifier.Secret)
	assert.Empty(t, fetcher.Secret)
	assert.Equal(t, 5*time.Second, fetcher.Token.Leeway)
	assert.Equal(t, &bearer.JWKS{
		Address: "http://i.mine-shop.svc.cluster.local.:7443/jwks.json",
		Policy:  token.PanvaJose(),
	}, fetcher.JWKS)
}

// RotatingSecrets are applied after their definition, where the cluster has them.
func TestRotatingManifests(t *testing.T) {
	t.Parallel()
	plan := tokenPlan(t)
	assert.Equal(t, []string{"default", "shop"}, Namespaces(plan))
	objects := Manifests(plan, lent())
	require.Len(t, objects, 2)
	assert.True(t, isDefinition(objects[0]))
	assert.Equal(t, "rotatingsecrets.certquake.dev", objects[0].GetName())
	made, ok := objects[1].(*rotating.RotatingSecret)
	require.True(t, ok)
	assert.False(t, isDefinition(made))
	assert.Equal(t, "mine-shop/keys", made.Namespace+"/"+made.Name)
	assert.Equal(t, "r1", RunOf(made))
	assert.Equal(t, rotating.Kind, made.Kind)
	text, err := Render(plan, clusters.Target{Nodes: map[string]string{}})
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(text), "kind: CustomResourceDefinition\n"))
	assert.Equal(t, 1, strings.Count(string(text), "\nkind: RotatingSecret\n"))
	assert.Empty(t, definition(smallPlan()))
}

func TestCheckTokens(t *testing.T) {
	t.Parallel()
	backend := New(Provider{Name: "test"})
	plan := tokenPlan(t)
	require.NoError(t, backend.Check(plan))
	plan.World.RotatingSecrets = nil
	require.ErrorContains(t, backend.Check(plan),
		"workload i: no RotatingSecret makes Secret shop/jwt\n")
	require.ErrorContains(t, backend.Check(plan),
		"workload j: no RotatingSecret makes Secret shop/jwt")
}

// ring returns a Secret with the keys of a ring, written as "r1* r2". What the files hold follows
// from the ids.
func ring(keys string) *corev1.Secret {
	data := map[string][]byte{}
	for field := range strings.FieldsSeq(keys) {
		id, primary := strings.CutSuffix(field, "*")
		for _, part := range []string{".private", ".public"} {
			name := id + part
			if primary {
				name += primaryMark
			}
			data[name] = []byte(id + part)
		}
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "jwt", ResourceVersion: "1"},
		Data:       data,
	}
}

// keyRig is a ledger of tokenPlan that has begun with one key.
func keyRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{
		ledger: newLedger(tokenPlan(t)), t: t, boots: map[string]string{},
		seqs: map[string]uint64{},
	}
	r.write(0, ring("r1*"))
	r.begin(base)
	return r
}

// held names a ring of the Secret jwt.
func held(primary string, ids ...string) *record.Generation {
	g := &record.Generation{Leaf: "jwt/" + primary}
	for i, id := range ids {
		g.Trust += strings.Repeat("+", min(i, 1)) + "jwt/" + id
	}
	return g
}

// Each write of keys is a row, which names them and holds nothing of them.
func TestKeyWrites(t *testing.T) {
	t.Parallel()
	r := keyRig(t)
	r.write(2*time.Second, ring("r1* r2"))
	again := ring("r1* r2")
	again.Annotations = map[string]string{rotator.StateAnnotation: "{}"}
	assert.Nil(t, r.write(3*time.Second, again), "what is remembered is no key")
	r.write(4*time.Second, ring("r1* r2*"))
	r.write(5*time.Second, ring("r1 r2"))
	assert.Equal(t, "r1* r2", r.secrets["shop/jwt"].paired().keys.String(), "the last good one")
	r.saw("shop/jwt", nil, base.Add(6*time.Second))
	both := held("r1", "r1", "r2")
	two, none := *both, *both
	two.Leaf, none.Leaf = "jwt/r1+jwt/r2", ""
	write := func(at time.Duration, own *record.Generation, detail string) record.Span {
		return record.Span{
			Kind: record.Write, From: at, To: at, Source: "shop/jwt", Outcome: record.OK,
			Own: own, Detail: detail,
		}
	}
	out := r.sofar()
	assert.Equal(t, []record.Span{
		write(0, held("r1", "r1"), "r1*"),
		write(2*time.Second, both, "r1* r2"),
		write(4*time.Second, &two, "r1* r2*"),
		write(5*time.Second, &none, "r1 r2"),
		write(6*time.Second, nil, "deleted"),
	}, out.of(record.Write))
	text, err := json.Marshal(*out)
	require.NoError(t, err)
	assert.NotContains(t, string(text), "private", "neither keys nor the names of their files")
}

// A ring that is taken into use is traced to the write that it came from, fetched or mounted.
func TestKeyReloads(t *testing.T) {
	t.Parallel()
	r := keyRig(t)
	for _, pod := range []string{"v-0", "j-0"} {
		r.tell(pod, reloads(pod, 0, 0, held("r1", "r1")))
	}
	r.write(2*time.Second, ring("r1* r2"))
	r.tell("v-0", reloads("v-0", 3*time.Second, 4*time.Second, held("r1", "r1", "r2")))
	fetched := reloads("j-0", 5*time.Second, 5*time.Second, held("r1", "r1", "r2"))
	fetched.Span.Projected = 0
	r.tell("j-0", fetched)
	got := r.sofar().of(record.Reload)[2:]
	assert.Equal(t, []record.Span{
		{
			Kind: record.Reload, Source: "v-0", Outcome: record.OK, Own: held("r1", "r1", "r2"),
			From: 2 * time.Second, Projected: 3 * time.Second, To: 4 * time.Second,
		},
		{
			Kind: record.Reload, Source: "j-0", Outcome: record.OK, Own: held("r1", "r1", "r2"),
			From: 2 * time.Second, To: 5 * time.Second,
		},
	}, got)
}

// Calls are recorded as their source tells them, but for the keys of a verifier that said nothing.
func TestCalls(t *testing.T) {
	t.Parallel()
	r := keyRig(t)
	r.tell("v-0", reloads("v-0", 0, 0, held("r1", "r1")))
	call := func(at time.Duration, outcome record.Outcome, other *record.Generation) peer.Row {
		return peer.Row{Role: record.Client, Span: record.Span{
			Kind: record.Request, From: at, To: at, Source: "i-0", Peer: "v-0", Count: 1,
			Outcome: outcome, Own: held("r2", "r2"), Other: other,
		}}
	}
	good := call(time.Second, record.OK, nil)
	good.Span.Count, good.Span.Peer, good.Span.Own = 3, "", nil
	r.tell("i-0", good)
	r.tell("i-0", call(2*time.Second, record.UnknownKid, held("r3", "r3")))
	r.tell("i-0", call(3*time.Second, record.Timeout, nil))
	r.tell("i-0", call(4*time.Second, record.Unreachable, nil))
	fetch := peer.Row{Role: record.Client, Span: record.Span{
		Kind: record.Fetch, From: 5 * time.Second, To: 5 * time.Second, Source: "j-0",
		Peer: "i-0", Count: 1, Outcome: record.OK, Own: held("r1", "r1"),
	}}
	r.tell("j-0", fetch)
	calls := r.sofar().of(record.Request)
	require.Len(t, calls, 4)
	assert.Equal(t, good.Span, calls[0])
	assert.Equal(t, held("r3", "r3"), calls[1].Other)
	assert.Equal(t, held("r1", "r1"), calls[2].Other, "what it told of last")
	assert.Nil(t, calls[3].Other)
	assert.Equal(t, []record.Span{fetch.Span}, r.out.of(record.Fetch))
	assert.Equal(t, int64(6), r.lanes["i-0"].recorded)
	assert.Zero(t, r.lanes["j-0"].recorded, "a fetch is none of the plan's attempts")
}

// Calls that fell due while their source was down are skipped, and those that nobody told of lost.
func TestSkippedCalls(t *testing.T) {
	t.Parallel()
	r := keyRig(t)
	r.tell("i-0", change(record.Down, "i-0", 20*time.Second))
	up := change(record.Up, "i-0", 30*time.Second)
	up.Due = []int64{r.plan.Attempts(r.lanes["i-0"].streams[0], 30*time.Second)}
	r.boot("i-0", "second")
	r.tell("i-0", up)
	out := r.finish(time.Minute)
	skipped := out.of(record.Request)
	require.Len(t, skipped, 1)
	assert.Equal(t, record.Skipped, skipped[0].Outcome)
	assert.Equal(t, int64(20), skipped[0].Count)
	lost := out.of(record.Lost)
	require.NotEmpty(t, lost)
	assert.Contains(t, lost[0].Detail, " calls of i-0: ")
}

// A key that is made by hand is named as the next of the rotation would be, and is whole.
func TestNewKey(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		spec  rotation.Spec
		state rotation.State
		keys  string
		want  []string
	}{
		"counter": {
			rotation.Spec{Generate: rotation.Key{Kind: rotation.EC}},
			rotation.State{Phase: rotation.Steady, Primary: "r4", Counter: 4},
			"r4*",
			[]string{"r5.private.primary", "r5.public.primary"},
		},
		"in the middle of a rotation": {
			rotation.Spec{Generate: rotation.Key{Kind: rotation.Ed25519}},
			rotation.State{Phase: rotation.Published, Primary: "r1", Next: "r2", Counter: 2},
			"r1* r2",
			[]string{"r3.private.primary", "r3.public.primary"},
		},
		"after a promotion by hand": {
			rotation.Spec{},
			rotation.State{Phase: rotation.Published, Primary: "r1", Next: "r2", Counter: 2},
			"r1 r2*",
			[]string{"r3.key.primary"},
		},
		"timestamp": {
			rotation.Spec{IDs: rotation.Timestamp, Prefix: "k-"},
			rotation.State{Phase: rotation.Steady, Primary: "k-20260101T000000Z"},
			"k-20260101T000000Z*",
			[]string{"k-20261121T120000Z.key.primary"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			object := ring(test.keys)
			object.Annotations = map[string]string{rotator.StateAnnotation: test.state.String()}
			before := readKeys(object, "shop/jwt", 0)
			made, err := newKey(test.spec.WithDefaults(), before, now)
			require.NoError(t, err)
			assert.Equal(t, test.want, rotation.Names(made))
			for file, data := range made {
				assert.NotEmpty(t, data, file)
			}
		})
	}
	_, err := newKey(rotation.Spec{}.WithDefaults(), readKeys(ring("r1*"), "shop/jwt", 0), now)
	require.ErrorContains(t, err, "parse the state of a rotation", "nobody knows the next id")
}

// A ring is spoilt by one write, and in no other way than it is told.
func TestEdited(t *testing.T) {
	t.Parallel()
	plan := tokenPlan(t)
	w := &world{plan: plan}
	object := ring("r1* r2")
	object.Annotations = map[string]string{rotator.StateAnnotation: rotation.State{
		Phase: rotation.Published, Primary: "r1", Next: "r2", Counter: 2,
	}.String()}
	before := readKeys(object, "shop/jwt", 0)
	for name, test := range map[string]struct {
		action scenarios.Action
		want   []string
	}{
		"replaced": {
			scenarios.Action{Verb: scenarios.ReplaceKeys},
			[]string{"r3.private.primary", "r3.public.primary"},
		},
		"two primaries": {
			scenarios.Action{Verb: scenarios.SpoilKeys, Mode: scenarios.TwoPrimaries},
			[]string{
				"r1.private.primary", "r1.public.primary", "r2.private", "r2.public",
				"r3.private.primary", "r3.public.primary",
			},
		},
		"no primary": {
			scenarios.Action{Verb: scenarios.SpoilKeys, Mode: scenarios.NoPrimary},
			[]string{"r1.private", "r1.public", "r2.private", "r2.public"},
		},
		"half written": {
			scenarios.Action{Verb: scenarios.SpoilKeys, Mode: scenarios.HalfWritten},
			[]string{"r1.private", "r1.public", "r2.private", "r2.public", "r3.private.primary"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, err := w.edited(test.action, "shop/jwt", before)
			require.NoError(t, err)
			assert.Equal(t, test.want, rotation.Names(files))
		})
	}
	assert.Equal(t, map[string][]byte{"r1.key.primary": {}},
		half(map[string][]byte{"r1.key.primary": []byte("secret")}))
}

// What an operator wrote for a run is the run's, and goes with it.
func TestClaimsOfRotatingSecrets(t *testing.T) {
	t.Parallel()
	labelled := func(name string) func(*unstructured.Unstructured) {
		return func(o *unstructured.Unstructured) {
			o.SetLabels(map[string]string{rotator.Label: name})
		}
	}
	c := newClaims(func(run string) bool { return run == "r1" })
	things := []thing{
		object(rotating.Kind, "keys", "r1", writes("jwt")),
		object(rotating.Kind, "plain", "r1"),
		object(rotating.Kind, "others", "r2"),
		object("Secret", "jwt", "", labelled("keys")),
		object("Secret", "plain", "", labelled("plain")),
		object("Secret", "others", "", labelled("others")),
	}
	assert.Equal(t, []string{
		"RotatingSecret mine-default/keys", "RotatingSecret mine-default/plain",
		"Secret mine-default/jwt", "Secret mine-default/plain",
	}, namesOf(c.pick(things)))
	handed := object("Secret", "jwt", "", labelled("somebody"))
	assert.Empty(t, c.of(handed), "it was handed to somebody else")
}
