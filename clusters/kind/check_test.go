package kind

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

func TestNodesThatCannotBe(t *testing.T) {
	t.Parallel()
	require.NoError(t, checkNodes(plannedNodes()))
	require.ErrorContains(t, checkNodes(nil), "0 nodes")
	require.ErrorContains(t, checkNodes(make([]scenarios.PlannedNode, nodesMax+1)), "51 nodes")
	bad := plannedNodes()
	bad[0].SyncFrequency, bad[1].ChangeDetection = 0, "Guess"
	bad[2].CacheTTL = 1500 * time.Millisecond
	err := checkNodes(bad)
	for _, want := range []string{
		"node fast: syncFrequency 0s", "node slow: changeDetection", "node old: cacheTTL 1.5s",
	} {
		require.ErrorContains(t, err, want)
	}
}

func TestRoom(t *testing.T) {
	t.Parallel()
	require.NoError(t, checkMemory(3, 0), "nobody knows")
	require.NoError(t, checkMemory(3, 1450<<20))
	require.ErrorContains(t, checkMemory(3, 1449<<20), "takes about 1450 MB")
	require.NoError(t, checkWatchers(3, 0), "nobody knows")
	require.NoError(t, checkWatchers(3, 65))
	require.ErrorContains(t, checkWatchers(3, 64), "sysctl fs.inotify.max_user_instances=512")
}

func TestRoomOfAnotherMachine(t *testing.T) {
	t.Parallel()
	here := host{"6.1", room{memory: 5, watchers: 128}}
	assert.Equal(t, here.room, roomOf(machine{KernelVersion: "6.1", MemTotal: 9}, here))
	assert.Equal(t, room{memory: 9}, roomOf(machine{KernelVersion: "6.6-linuxkit", MemTotal: 9},
		here))
	assert.Equal(t, room{memory: 9}, roomOf(machine{MemTotal: 9}, host{}))
}

func TestEnginesThatAreNone(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv(engineVariable, "")
	_, err := findEngine(t.Context(), "")
	require.ErrorIs(t, err, errNoEngine)
	_, err = findEngine(t.Context(), "docker")
	require.ErrorContains(t, err, "no command docker")
	_, err = findEngine(t.Context(), "rkt")
	require.ErrorContains(t, err, "--engine docker or podman")
	err = Options{}.Check(scenarios.Plan{Nodes: plannedNodes()})
	require.ErrorIs(t, err, harness.ErrUnsupported)
	require.ErrorIs(t, err, errNoEngine)
}
