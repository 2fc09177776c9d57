package rotator

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"

	"github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/workloads/rotation"
)

// A Secret outlives its RotatingSecret, in the middle of a rotation too, and one of the same name
// goes on where the first was.
func TestRetain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, daily)
	w.until(24*time.Hour + 5*minute)
	left := w.secret()
	assert.Empty(t, left.OwnerReferences, "a garbage collector would not ask")
	rs := w.rs()
	require.NoError(t, w.server.Delete(t.Context(), rs))
	w.until(25 * time.Hour)
	assert.Nil(t, w.rs())
	assert.Equal(t, left, w.secret())
	again := &api.RotatingSecret{ObjectMeta: named(rs, "jwt"), Spec: rs.Spec}
	again.UID = "uid-2"
	require.NoError(t, w.server.Create(t.Context(), again))
	w.until(30 * time.Hour)
	assert.Equal(t, oneRotation, w.history)
}

// With the policy Delete the Secret stays for as long as anybody has it, may have it or mounts it.
func TestDeleteWaitsForUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `
gate: uptake
deletionPolicy: Delete
consumers: {selector: {matchLabels: {app: shop}}}
`)
	asked := w.consumer("asked", shop)
	w.consumer("silent", shop)
	w.until(time.Hour)
	mounts := map[string]core.PodSpec{
		"volume": {Volumes: []core.Volume{{VolumeSource: core.VolumeSource{
			Secret: &core.SecretVolumeSource{SecretName: "jwt"},
		}}}},
		"projected": {Volumes: []core.Volume{{VolumeSource: core.VolumeSource{
			Projected: &core.ProjectedVolumeSource{Sources: []core.VolumeProjection{{
				Secret: &core.SecretProjection{
					LocalObjectReference: core.LocalObjectReference{Name: "jwt"},
				},
			}}},
		}}}},
		"variable": {InitContainers: []core.Container{{Env: []core.EnvVar{{
			Name: "A", ValueFrom: &core.EnvVarSource{SecretKeyRef: &core.SecretKeySelector{
				LocalObjectReference: core.LocalObjectReference{Name: "jwt"}, Key: "r1.key",
			}},
		}}}}},
		"variables": {Containers: []core.Container{{EnvFrom: []core.EnvFromSource{{
			SecretRef: &core.SecretEnvSource{
				LocalObjectReference: core.LocalObjectReference{Name: "jwt"},
			},
		}}}}},
	}
	for name, spec := range mounts {
		pod := w.podObject(name)
		pod.Spec = spec
		require.NoError(t, w.server.Create(t.Context(), pod))
	}
	bystander := w.podObject("bystander") // mounts another, and selected by nobody
	bystander.Spec.Volumes = []core.Volume{{VolumeSource: core.VolumeSource{
		Secret: &core.SecretVolumeSource{SecretName: "other"},
	}}}
	require.NoError(t, w.server.Create(t.Context(), bystander))
	require.NoError(t, w.server.Delete(t.Context(), w.rs()))

	w.until(2 * time.Hour)
	require.NotNil(t, w.secret())
	assert.Equal(t, "True KeyInUse", w.condition(rotation.Halted))
	for _, want := range []string{
		"pod asked: it has [r1]", "pod silent: it has", "pod volume: it mounts",
		"pod projected: it mounts", "pod variable: it mounts", "pod variables: it mounts",
	} {
		assert.Contains(t, w.message(), want)
	}
	assert.NotContains(t, w.message(), "bystander")

	for name := range mounts {
		require.NoError(t, w.server.Delete(t.Context(), w.podObject(name)))
	}
	asked.hush() // it answers, and has no key of it any more
	gone := w.podObject("silent")
	require.NoError(t, w.server.Get(t.Context(), at("silent"), gone))
	gone.Status.PodIP = ""
	require.NoError(t, w.server.Status().Update(t.Context(), gone))
	w.until(3 * time.Hour)
	require.NotNil(t, w.secret())
	assert.Contains(t, w.message(), "pod silent: it does not tell whether it has a key")
	assert.NotContains(t, w.message(), "asked")

	require.NoError(t, w.server.Delete(t.Context(), gone))
	w.until(4 * time.Hour)
	assert.Nil(t, w.rs())
	assert.Nil(t, w.secret())
}

// Policies can be changed while the RotatingSecret waits, and a spec that makes no sense does not
// remove anything.
func TestDeletionOfInvalid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "{deletionPolicy: Delete}")
	w.until(time.Hour)
	w.change(func(spec *api.RotatingSecretSpec) { spec.Gate = "uptake" })
	require.NoError(t, w.server.Delete(t.Context(), w.rs()))
	w.until(2 * time.Hour)
	require.NotNil(t, w.secret())
	assert.Equal(t, "True InvalidSpec", w.condition(rotation.Halted))
	w.change(func(spec *api.RotatingSecretSpec) { spec.DeletionPolicy = api.Retain })
	w.until(3 * time.Hour)
	assert.Nil(t, w.rs())
	assert.NotNil(t, w.secret())
}

// A Secret of somebody else is not removed.
func TestDeleteKeepsOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "{deletionPolicy: Delete}")
	w.until(time.Hour)
	w.edit(func(s *core.Secret) { s.Labels[Label] = "another" })
	require.NoError(t, w.server.Delete(t.Context(), w.rs()))
	w.until(2 * time.Hour)
	assert.Nil(t, w.rs())
	assert.NotNil(t, w.secret())
}

// One that is handed to somebody else at the last moment is not removed either.
func TestDeleteLooksAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "{deletionPolicy: Delete}")
	w.until(time.Hour)
	w.meddle = func(write int) {
		if w.writes[write] == "delete Secret" {
			w.edit(func(s *core.Secret) { s.Labels[Label] = "another" })
		}
	}
	require.NoError(t, w.server.Delete(t.Context(), w.rs()))
	w.until(2 * time.Hour)
	assert.Nil(t, w.rs())
	assert.NotNil(t, w.secret())
}
