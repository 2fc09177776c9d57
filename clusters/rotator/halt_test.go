package rotator

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/workloads/rotation"
)

const daily = "{every: 24h, promoteAfter: 10m, retireAfter: 1h}"

// What people did to a Secret is named and left as it is, until they undo it.
func TestHandEdits(t *testing.T) {
	t.Parallel()
	yes := true
	for name, row := range map[string]struct {
		edit func(*core.Secret)
		want rotation.Reason
	}{
		"a key that nobody knows": {
			func(s *core.Secret) { s.Data["mine.key"] = []byte("0123456789abcdef") },
			rotation.UnknownKey,
		},
		"no primary": {
			func(s *core.Secret) {
				s.Data["r1.key"] = s.Data["r1.key.primary"]
				delete(s.Data, "r1.key.primary")
			}, rotation.NoPrimary,
		},
		"no key at all": {func(s *core.Secret) { s.Data = nil }, rotation.KeysMissing},
		"a State that makes no sense": {
			func(s *core.Secret) { s.Annotations[StateAnnotation] = "{" }, rotation.InvalidState,
		},
		"a State of a later version": {
			func(s *core.Secret) {
				s.Annotations[StateAnnotation] = strings.Replace(
					s.Annotations[StateAnnotation], "{", `{"later":1,`, 1)
			}, rotation.InvalidState,
		},
		"without the label": {func(s *core.Secret) { delete(s.Labels, Label) }, NotHandedOver},
		"of another":        {func(s *core.Secret) { s.Labels[Label] = "x" }, NotHandedOver},
		"immutable":         {func(s *core.Secret) { s.Immutable = &yes }, Immutable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, daily)
			w.until(time.Hour)
			good := w.secret()
			w.edit(row.edit)
			bad := w.secret()
			w.until(30 * time.Hour)
			assert.Equal(t, "True "+string(row.want), w.condition(rotation.Halted), w.message())
			assert.Equal(t, "False "+string(row.want), w.condition(rotation.Ready))
			assert.Equal(t, bad, w.secret(), "nothing was touched")
			w.edit(func(s *core.Secret) {
				s.Data, s.Annotations, s.Labels = good.Data, good.Annotations, good.Labels
				s.Immutable = nil
			})
			w.history = nil
			w.until(33 * time.Hour)
			assert.Equal(t, []string{"k1* k2", "k1 k2*", "k2*"}, w.history)
		})
	}
}

// A Secret that was removed by hand is not made anew: nobody could read what it protected.
func TestSecretRemovedByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, daily)
	w.until(time.Hour)
	require.NoError(t, w.server.Delete(t.Context(), w.secret()))
	w.until(30 * time.Hour)
	assert.Equal(t, "True KeysMissing", w.condition(rotation.Halted))
	assert.Nil(t, w.secret())
	assert.Empty(t, w.rs().Status.IDs)
}

// Everything that is wrong with a spec is said at once, where the API server did not.
func TestInvalidSpec(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `
every: 1 day
promoteAfter: -1s
uptakeTimeout: 0s
gate: uptake
ids: roman
prefix: a b
generate: {kind: rsa, bits: 1024, curve: P-256}
deletionPolicy: Maybe
migration: {jobTemplate: {spec: {tmplate: {}, backoffLimit: 1}}}
`)
	w.until(time.Hour)
	assert.Equal(t, "True InvalidSpec", w.condition(rotation.Halted))
	for _, want := range []string{
		"spec.every: \"1 day\"", "spec.promoteAfter: -1s", "spec.uptakeTimeout: 0s",
		"spec.ids: unknown", `spec.prefix: no id can begin with "a b"`, "spec.generate.bits: 1024",
		"spec.generate.curve: means nothing", "spec.consumers: the gate uptake",
		"spec.deletionPolicy: unknown", `spec.migration.jobTemplate: unknown field "spec.tmplate"`,
	} {
		assert.Contains(t, w.message(), want)
	}
	assert.Nil(t, w.secret())
	w.change(func(spec *api.RotatingSecretSpec) { *spec = api.RotatingSecretSpec{} })
	w.until(2 * time.Hour)
	assert.Equal(t, "True OnlyByOrder", w.condition(rotation.Ready), "the defaults are valid")
	assert.Equal(t, int64(2), w.rs().Status.ObservedGeneration)
	assert.Len(t, w.secret().Data["r1.key.primary"], 32)
}

func TestInvalidConsumers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `
gate: uptake
prefix: `+strings.Repeat("x", 65)+`
consumers: {selector: {}, port: 0, path: metrics}
migration: {jobTemplate: {spec: {template: {spec: {restartPolicy: Always}}}}}
`)
	w.until(time.Hour)
	for _, want := range []string{
		"spec.consumers.selector: it selects every pod", "spec.consumers.port: ",
		"spec.prefix: longer than 64",
		"spec.consumers.path: ", "containers: no container", "restartPolicy: ",
	} {
		assert.Contains(t, w.message(), want)
	}
}

// Keys that somebody kept by hand are taken over when they are handed over, and are the first of
// the rotation.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, daily)
	mine := &core.Secret{ObjectMeta: named(w.rs(), "jwt"), Data: map[string][]byte{
		"r7.key.primary": []byte("0123456789abcdef"), "ca.crt": []byte("x"),
	}}
	require.NoError(t, w.server.Create(t.Context(), mine))
	w.until(time.Hour)
	assert.Equal(t, "True NotHandedOver", w.condition(rotation.Halted))
	assert.Contains(t, w.message(), "label it certquake.dev/rotating-secret=jwt")
	assert.Empty(t, w.rs().Status.IDs, "names of keys of others are not shown")
	assert.Equal(t, mine.Data, w.secret().Data)
	w.edit(func(s *core.Secret) { s.Labels = map[string]string{Label: "jwt"} })
	w.until(30 * time.Hour)
	assert.Equal(t, []string{"r7", "r8"}, w.ids)
	assert.Equal(t, []byte("x"), w.secret().Data["ca.crt"])
}

// A migration runs in a Job that knows what to move, and the old key waits for its end.
func TestMigration(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `
every: 24h
promoteAfter: 10m
retireAfter: 1h
migration:
  jobTemplate:
    metadata: {labels: {a: b}}
    spec:
      ttlSecondsAfterFinished: 1
      template: {spec: {containers: [{name: c, image: i, env: [{name: OWN, value: x}]}]}}
`)
	w.until(26 * time.Hour)
	jobs := w.listJobs()
	require.Len(t, jobs, 1)
	assert.Equal(t, "b", jobs[0].Labels["a"])
	assert.Nil(t, jobs[0].Spec.TTLSecondsAfterFinished)
	assert.Equal(t, "jwt", jobs[0].OwnerReferences[0].Name)
	assert.Regexp(t, `^jwt-1-[0-9a-f]{10}$`, jobs[0].Name)
	assert.Equal(t, []core.EnvVar{
		{Name: "ROTATION_FROM", Value: "r1"},
		{Name: "ROTATION_TO", Value: "r2"},
		{Name: "ROTATION_ATTEMPT", Value: "1"},
		{Name: "ROTATION_SECRET", Value: "jwt"},
		{Name: "OWN", Value: "x"},
	}, jobs[0].Spec.Template.Spec.Containers[0].Env)
	assert.Equal(t, core.RestartPolicyNever, jobs[0].Spec.Template.Spec.RestartPolicy)
	assert.Equal(t, "True MigrationPending", w.condition(rotation.Ready))
	assert.Equal(t, "Migrating", w.rs().Status.Phase)

	w.end(&jobs[0], batch.JobFailed)
	w.until(27 * time.Hour)
	assert.Equal(t, "True MigrationFailed", w.condition(rotation.Halted))
	assert.Equal(t, []string{"k1*", "k1* k2", "k1 k2*"}, w.history)
	assert.Len(t, w.listJobs(), 1, "it is there to be looked at")

	w.change(func(spec *api.RotatingSecretSpec) { spec.Orders.Resume = "once more" })
	w.until(28 * time.Hour)
	jobs = w.listJobs()
	require.Len(t, jobs, 1)
	assert.Regexp(t, `^jwt-2-`, jobs[0].Name)
	w.end(&jobs[0], batch.JobComplete)
	w.until(29 * time.Hour)
	assert.Equal(t, oneRotation, w.history)
	assert.Len(t, w.jobs, 2)
	assert.Equal(t, "False NotDue", w.condition(rotation.Halted))
}

// A rollback stops the migration under way, and has data moved back by another.
func TestRollbackStopsMigration(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.ReplaceAll(byTime, "Complete", ""))
	w.until(26 * time.Hour)
	jobs := w.listJobs()
	require.Len(t, jobs, 1)
	jobs[0].Finalizers = []string{meta.FinalizerDeleteDependents} // its pods take long to stop
	require.NoError(t, w.server.Update(t.Context(), &jobs[0]))
	w.change(func(spec *api.RotatingSecretSpec) { spec.Orders.Reject = "r2" })
	w.until(27 * time.Hour)
	assert.Equal(t, []string{"k1*", "k1* k2", "k1 k2*", "k1* k2"}, w.history)
	jobs = w.listJobs()
	require.Len(t, jobs, 1, "the next one does not begin beside it")
	require.NotNil(t, jobs[0].DeletionTimestamp)
	jobs[0].Finalizers = nil
	require.NoError(t, w.server.Update(t.Context(), &jobs[0]))
	w.until(28 * time.Hour)
	jobs = w.listJobs()
	require.Len(t, jobs, 1)
	env := jobs[0].Spec.Template.Spec.Containers[0].Env
	assert.Equal(t, []string{"r2", "r1"}, []string{env[0].Value, env[1].Value})
	w.end(&jobs[0], batch.JobComplete)
	w.until(30 * time.Hour)
	assert.Equal(t, "k1*", w.history[len(w.history)-1])
}

// What the API server does not take is shown, with what it says, and tried again.
func TestRefusedWrites(t *testing.T) {
	t.Parallel()
	resource := schema.GroupResource{Resource: "things"}
	for deed, row := range map[string]struct {
		err   error
		rings int
	}{
		"create Secret": {apierrors.NewForbidden(resource, "x", errDead), 0},
		"update Secret": {apierrors.NewBadRequest("the hook said no"), 1},
		"create Job":    {apierrors.NewInvalid(schema.GroupKind{Kind: "Job"}, "x", nil), 3},
	} {
		t.Run(deed, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, byTime)
			w.deny = map[string]error{deed: row.err}
			w.until(26 * time.Hour)
			assert.Equal(t, "True Refused", w.condition(rotation.Halted))
			assert.Contains(t, w.message(), row.err.Error())
			assert.Len(t, w.history, row.rings)
			w.deny = nil
			w.until(55 * time.Hour)
			assert.Equal(t, oneRotation, w.history[:len(oneRotation)])
		})
	}
}

func TestOrders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "{promoteAfter: 10m, retireAfter: 1h}")
	w.until(time.Hour)
	assert.Equal(t, []string{"k1*"}, w.history)
	w.change(func(spec *api.RotatingSecretSpec) { spec.Orders.Rotate = "leak-1" })
	w.until(9 * time.Hour)
	assert.Equal(t, oneRotation, w.history, "once")
}
