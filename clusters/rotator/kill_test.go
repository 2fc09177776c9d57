package rotator

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/workloads/rotation"
)

// The rotations that are killed. The first is by time, the second by uptake; both migrate.
const (
	byTime = `
every: 24h
promoteAfter: 10m
retireAfter: 1h
deletionPolicy: Delete
migration:
  jobTemplate:
    metadata: {annotations: {outcome: Complete}}
    spec: {template: {spec: {containers: [{name: c, image: i}]}}}
`
	byUptake = `
every: 24h
gate: uptake
retireAfter: 1h
ids: uuid
generate: {length: 16}
deletionPolicy: Delete
consumers: {selector: {matchLabels: {app: shop}}}
migration:
  jobTemplate:
    metadata: {annotations: {outcome: Complete}}
    spec: {template: {spec: {containers: [{name: c, image: i}]}}}
`
	byStamp = `
every: 24h
promoteAfter: 10m
retireAfter: 1h
ids: timestamp
generate: {kind: ed25519}
deletionPolicy: Delete
`
)

// oneRotation is the rings of a secret that was created and rotated once.
var oneRotation = []string{"k1*", "k1* k2", "k1 k2*", "k2*"}

// life has a Secret created, rotated once, and removed with its RotatingSecret, and asserts that
// this and nothing else happened.
func (w *world) life() {
	w.t.Helper()
	w.until(30 * time.Hour)
	assert.Equal(w.t, oneRotation, w.history)
	rs := w.rs()
	assert.Equal(w.t, "Steady", rs.Status.Phase)
	assert.True(w.t, rs.Status.Managed)
	assert.Equal(w.t, []string{w.ids[1]}, rs.Status.IDs)
	assert.Equal(w.t, w.ids[1], rs.Status.Primary)
	assert.Equal(w.t, "True NotDue", w.condition(rotation.Ready))
	assert.Equal(w.t, "False NotDue", w.condition(rotation.Rotating))
	if rs.Spec.Migration != nil {
		assert.Len(w.t, w.jobs, 1)
	}
	for name := range w.pods {
		require.NoError(w.t, w.server.Delete(w.t.Context(), w.podObject(name)))
	}
	require.NoError(w.t, w.server.Delete(w.t.Context(), rs))
	w.until(60 * time.Hour)
	assert.Nil(w.t, w.rs())
	assert.Nil(w.t, w.secret())
	assert.Equal(w.t, oneRotation, w.history)
}

func (w *world) podObject(name string) *core.Pod {
	pod := &core.Pod{}
	pod.Namespace, pod.Name = namespace, name
	return pod
}

// inhabited is a world of one of the specs, with consumers where they are asked.
func inhabited(t *testing.T, spec string) *world {
	t.Helper()
	w := newWorld(t, spec)
	w.poll = 10 * minute
	w.operator = w.newOperator()
	if spec == byUptake {
		w.consumer("a", map[string]string{"app": "shop"})
		w.consumer("b", map[string]string{"app": "shop"})
	}
	return w
}

// The operator is killed right before and right after each of its writes, one at a time. Whatever
// it was, the next one takes over, and nobody can tell from the keys.
func TestKillAtEveryWrite(t *testing.T) {
	t.Parallel()
	for name, spec := range map[string]string{
		"by time": byTime, "by uptake": byUptake, "pairs by timestamp": byStamp,
	} {
		undisturbed := inhabited(t, spec)
		undisturbed.life()
		writes := len(undisturbed.writes)
		t.Logf("%s: %d writes: %v", name, writes, undisturbed.writes)
		for _, deed := range []string{
			"patch RotatingSecret", "update status RotatingSecret", "create Secret",
			"update Secret", "delete Secret",
		} {
			require.Contains(t, undisturbed.writes, deed)
		}
		for at := range writes {
			for fate, what := range map[kill]string{before: "before", after: "after"} {
				deed := undisturbed.writes[at]
				t.Run(fmt.Sprintf("%s/%s %d %s", name, what, at, deed), func(t *testing.T) {
					t.Parallel()
					w := inhabited(t, spec)
					w.fate = func(write int) kill {
						if write == at {
							return fate
						}
						return live
					}
					w.life()
					assert.Greater(t, len(w.writes), at, "it was never killed")
				})
			}
		}
	}
}

// The operator is killed again and again, by chance.
func TestKillByChance(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			dice := rand.New(rand.NewPCG(seed, 0))
			w := inhabited(t, []string{byTime, byUptake, byStamp}[seed%3])
			w.fate = func(int) kill { return []kill{live, live, before, after}[dice.IntN(4)] }
			w.life()
		})
	}
}

// Two operators that both think they are the only one get in each other's way at every write.
func TestTwoOperators(t *testing.T) {
	t.Parallel()
	for name, spec := range map[string]string{"by time": byTime, "by uptake": byUptake} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := inhabited(t, spec)
			other, busy := w.newOperator(), false
			w.meddle = func(int) {
				if busy {
					return
				}
				busy = true
				defer func() { busy = false }()
				_, err := other.Reconcile(t.Context(), reconcile.Request{NamespacedName: at("jwt")})
				assert.NoError(t, err)
			}
			w.life()
		})
	}
}

// Every write of the Secret finds it changed by somebody else meanwhile.
func TestConflicts(t *testing.T) {
	t.Parallel()
	w := inhabited(t, byTime)
	met := 0
	w.meddle = func(write int) {
		if w.writes[write] == "update Secret" && met < 4 {
			met++
			w.edit(func(secret *core.Secret) { secret.Labels["touched"] = strconv.Itoa(met) })
		}
	}
	w.until(30 * time.Hour)
	assert.Equal(t, 4, met)
	assert.Equal(t, oneRotation, w.history)
	assert.Equal(t, "4", w.secret().Labels["touched"], "what others wrote stays")
}

// The operator asks for no more than its rules allow, and the rules allow no more than it asks for.
func TestRulesAreWhatIsDone(t *testing.T) {
	t.Parallel()
	w := inhabited(t, byUptake)
	w.until(24*time.Hour + 30*minute)
	require.Len(t, w.listJobs(), 1)
	w.change(func(spec *api.RotatingSecretSpec) { spec.Migration = nil }) // a Job to be deleted
	w.until(30 * time.Hour)
	for name := range w.pods {
		require.NoError(t, w.server.Delete(t.Context(), w.podObject(name)))
	}
	require.NoError(t, w.server.Delete(t.Context(), w.rs()))
	w.until(31 * time.Hour)
	kinds := map[string]string{
		"rotatingsecrets": "RotatingSecret", "rotatingsecrets/status": "status RotatingSecret",
		"secrets": "Secret", "pods": "Pod", "jobs": "Job",
	}
	var allowed []string
	for _, rule := range Rules() {
		for _, verb := range rule.Verbs {
			kind, known := kinds[rule.Resources[0]]
			if known && verb != "watch" {
				allowed = append(allowed, verb+" "+kind)
			}
		}
	}
	watches := []string{"list RotatingSecret", "list Secret"} // begin with a list
	for _, deed := range allowed {
		if !slices.Contains(watches, deed) {
			assert.True(t, w.did[deed], "%s is allowed, and not done", deed)
		}
	}
	for deed := range w.did {
		assert.Contains(t, allowed, deed)
	}
	assert.Equal(t, batch.GroupName, Rules()[5].APIGroups[0])
}
