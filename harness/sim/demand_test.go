package sim_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// Akka's context is lazy: nothing is read again until a connection, in or out, asks for it.

func TestInboundConnectionsAskForTheContext(t *testing.T) {
	plan := setup{
		peers: 3, ttl: time.Minute, horizon: time.Hour, dialEvery: time.Second,
		actions: []scenarios.Action{rotateLeaf(10 * time.Minute)},
	}.plan()
	plan.Peers[0].Associations = "none"
	plan.Streams = slices.DeleteFunc(plan.Streams, func(s scenarios.Stream) bool {
		return s.Source != "peers-0"
	})
	got := perform(t, plan)
	adopted := got.reloads("leaf/2")
	require.Len(t, adopted, 3, "peers-1 and peers-2 are only dialled")
	base := plan.Streams[0].Phase
	for pod, at := range adopted {
		assert.Zero(t, (at-base)%time.Second, "%s reads at the instant of a dial", pod)
	}
}

func TestIdlePeersNeverReload(t *testing.T) {
	plan := setup{
		peers: 3, ttl: time.Minute, horizon: time.Hour, dialEvery: -1,
		actions: []scenarios.Action{rotateLeaf(10 * time.Minute)},
	}.plan()
	got := perform(t, plan)
	assert.Empty(t, got.reloads("leaf/2"))
	for _, row := range got {
		if row.Kind == record.Project {
			assert.Equal(t, "leaf/2", row.Own.Leaf, "delivered, never read")
		}
	}
}

func TestAttemptToAssociateAsksForTheContext(t *testing.T) {
	const at = 30*time.Minute + 300*time.Millisecond
	restart := act("restart", 1, at, scenarios.RestartPods)
	restart.Pods, restart.Mode, restart.Downtime = []string{"peers-1"}, "pod", 10*time.Second
	plan := setup{
		peers: 4, ttl: time.Minute, horizon: time.Hour, dialEvery: -1,
		actions: []scenarios.Action{rotateLeaf(10 * time.Minute), restart},
	}.plan()
	got := perform(t, plan)
	adopted := got.reloads("leaf/2")
	assert.Len(t, adopted, 3, "peers-3 has no association with peers-1")
	// peers-0 dials peers-1 at once and meets nobody; peers-2 is dialled when peers-1 is back.
	assert.Equal(t, at, adopted["peers-0"])
	assert.Equal(t, at+10*time.Second, adopted["peers-2"])
	var refused int64
	for _, row := range got {
		if row.Kind == record.Associate && row.Outcome == record.Unreachable {
			refused += row.Count
		}
	}
	assert.Equal(t, int64(10), refused, "an attempt a second while peers-1 was down")
}
