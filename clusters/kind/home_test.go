package kind

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness"
)

// made claims a cluster as a run does, up to its facts.
func made(t *testing.T, home, name string, kept bool) *holding {
	t.Helper()
	h, err := claim(t.Context(), home, name)
	require.NoError(t, err)
	h.facts = facts{
		Engine: "docker", Begun: true, Kubeconfig: filepath.Join(h.dir, kubeconfigFile),
	}
	require.NoError(t, h.write())
	if kept {
		require.NoError(t, h.keep())
	}
	return h
}

func released(t *testing.T, left []*holding) []string {
	t.Helper()
	var all []string
	for _, h := range left {
		all = append(all, h.name)
		require.NoError(t, h.release())
	}
	return all
}

func everyOne(*holding) bool { return true }

// What a living run uses is nobody else's: the lock tells, and a process that ends loses it.
func TestLeftoversAreThoseWithoutALivingOwner(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	living := made(t, home, "living", false)
	require.NoError(t, made(t, home, "killed", false).release())
	left, err := leftovers(t.Context(), home, everyOne)
	require.NoError(t, err)
	assert.Equal(t, []string{"killed"}, released(t, left))
	require.NoError(t, living.release())
	left, err = leftovers(t.Context(), home, everyOne)
	require.NoError(t, err)
	assert.Equal(t, []string{"killed", "living"}, released(t, left))
}

func TestLeftoversThatAreNotChosenStay(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	require.NoError(t, made(t, home, "kept", true).release())
	require.NoError(t, made(t, home, "killed", false).release())
	left, err := leftovers(t.Context(), home, func(h *holding) bool { return !h.facts.Kept })
	require.NoError(t, err)
	assert.Equal(t, []string{"killed"}, released(t, left))
	again, err := claim(t.Context(), home, "kept")
	require.NoError(t, err, "and nobody holds them")
	require.NoError(t, again.release())
}

// A run that was killed before it made anything leaves an empty folder.
func TestFoldersWithoutFactsAreRemoved(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(home, "empty"), 0o700))
	left, err := leftovers(t.Context(), home, everyOne)
	require.NoError(t, err)
	assert.Empty(t, left)
	assert.NoDirExists(t, filepath.Join(home, "empty"))
}

func TestLeftoversWhereThereNeverWereAny(t *testing.T) {
	t.Parallel()
	left, err := leftovers(t.Context(), filepath.Join(t.TempDir(), "none"), everyOne)
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestClaimOfAClusterInUse(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	h := made(t, home, "mine", true)
	_, err := claim(t.Context(), home, "mine")
	require.ErrorIs(t, err, errInUse)
	require.ErrorContains(t, err, "wait for it, or choose another --cluster")
	require.NoError(t, h.release())
	again, err := claim(t.Context(), home, "mine")
	require.NoError(t, err)
	assert.True(t, again.known)
	assert.Equal(t, engine("docker"), again.facts.Engine)
	require.NoError(t, again.release())
}

func TestClaimOfWhatAKilledRunLeft(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	require.NoError(t, made(t, home, "mine", false).release())
	_, err := claim(t.Context(), home, "mine")
	require.ErrorContains(t, err, "certquake cluster prune")
}

func TestNamesOfClusters(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mine", "a", "team-7", strings.Repeat("a", nameMax)} {
		require.NoError(t, checkName(name), name)
	}
	for _, name := range []string{
		"", "Mine", "-a", "a-", "../a", strings.Repeat("a", nameMax+1),
		"bridge", "host", "none", "kind", "podman",
	} {
		require.ErrorIs(t, checkName(name), harness.ErrSettings, name)
	}
	require.NoError(t, checkName(namePrefix+token()))
}
