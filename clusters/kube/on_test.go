package kube_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// lending is a cluster with nodes a, b and c that is lent, and what its nodes were told to do.
type lending struct {
	target *clusters.Target
	broken chan struct{}
	refuse error

	mu   sync.Mutex
	told map[string]scenarios.Action // by the node that was told
}

func newLending() *lending {
	l := &lending{broken: make(chan struct{}), told: map[string]scenarios.Action{}}
	tell := func(_ context.Context, action scenarios.Action) (string, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.told[action.Node] = action
		return "seen", l.refuse
	}
	l.target = &clusters.Target{
		Nodes: map[string]string{"a": "node-a", "b": "node-b", "c": "node-c"},
		Performs: map[scenarios.Verb]clusters.Perform{
			scenarios.ConfigureKubelet: tell, scenarios.PauseSync: tell,
		},
		Broken: l.broken, Cause: func() error { return errors.New("unplugged") },
		Down: func(context.Context) error { return errors.New("it is not the run's to take down") },
	}
	return l
}

// planOf is a plan of nodes; the first one's kubelet syncs every second, the next one's every two.
func planOf(names ...string) scenarios.Plan {
	plan := scenarios.Plan{Scenario: "some"}
	for i, name := range names {
		plan.Nodes = append(plan.Nodes, scenarios.PlannedNode{
			Name: name, SyncFrequency: time.Duration(i+1) * time.Second,
		})
	}
	return plan
}

func TestOn(t *testing.T) {
	t.Parallel()
	l := newLending()
	lent, err := kube.Provider{}.On(l.target).Up(t.Context(), planOf("fast", "b"))
	require.NoError(t, err)
	assert.True(t, lent.Shared, "what the run makes is removed one by one")
	assert.False(t, l.target.Shared)
	require.NoError(t, lent.Down(t.Context()))
	assert.Equal(t, map[string]string{"fast": "node-a", "b": "node-b"}, lent.Nodes,
		"b plays itself, a plays who has no name there")

	require.Len(t, l.told, 2, "as many kubelets as are planned")
	for node, sync := range map[string]time.Duration{"a": time.Second, "b": 2 * time.Second} {
		assert.Equal(t, scenarios.ConfigureKubelet, l.told[node].Verb, node)
		assert.Equal(t, node, l.told[node].Kubelet.Name)
		assert.Equal(t, sync, l.told[node].Kubelet.SyncFrequency, node)
	}
	action := scenarios.Action{Verb: scenarios.PauseSync, Node: "fast"}
	seen, err := lent.Performs[scenarios.PauseSync](t.Context(), action)
	require.NoError(t, err)
	assert.Equal(t, "seen", seen)
	assert.Equal(t, scenarios.Action{Verb: scenarios.PauseSync, Node: "a"}, l.told["a"])
}

func TestOnRefuses(t *testing.T) {
	t.Parallel()
	other := errors.New("no such thing")
	provider := kube.Provider{Check: func(plan scenarios.Plan) error {
		if plan.Scenario == "impossible" {
			return other
		}
		return nil
	}}
	l := newLending()
	check := provider.On(l.target).Check
	require.NoError(t, check(planOf("1", "2", "3")))
	err := check(planOf("1", "2", "3", "4"))
	require.ErrorIs(t, err, harness.ErrUnsupported)
	require.ErrorContains(t, err, "some needs 4 nodes, and the cluster was brought up with 3")
	impossible := planOf("1")
	impossible.Scenario = "impossible"
	require.ErrorIs(t, check(impossible), other, "what the provider cannot do")
	l.target.Spread = true
	require.NoError(t, check(planOf("1", "2", "3", "4")))
}

func TestOnFails(t *testing.T) {
	t.Parallel()
	l := newLending()
	l.refuse = errors.New("no room")
	up := kube.Provider{}.On(l.target).Up
	_, err := up(t.Context(), planOf("x"))
	require.ErrorIs(t, err, clusters.ErrBroken)
	require.ErrorContains(t, err, "give the kubelet of x its settings: no room")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = up(ctx, planOf("x"))
	require.ErrorIs(t, err, l.refuse)
	require.NotErrorIs(t, err, clusters.ErrBroken, "it was interrupted")

	close(l.broken)
	_, err = up(t.Context(), planOf("x"))
	require.ErrorIs(t, err, clusters.ErrBroken)
	require.ErrorContains(t, err, "the cluster ended before the run: unplugged")
}
