package reports

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// disturb plans a disturbance of p-1's network and proves it.
func (s *scene) disturb(from, to time.Duration) {
	for _, action := range []scenarios.Action{
		{ID: "d/disturb", At: from, Verb: scenarios.DisturbNetwork},
		{ID: "d/restore", At: to, Verb: scenarios.RestoreNetwork},
	} {
		action.Pods, action.Network = []string{"p-1"}, &scenarios.NetworkTrouble{Cut: true}
		s.plan.Actions = append(s.plan.Actions, action)
		s.add(record.Span{
			Kind: record.Proof, From: action.At, To: action.At, Action: action.ID, Source: "p-1",
		})
	}
}

// What has no answer while a fault disturbs the network is explained, and nothing else is.
func TestConnectionsOverDisturbedNetwork(t *testing.T) {
	const at = 3 * time.Minute
	for _, row := range []struct {
		name     string
		from, to time.Duration // of the disturbance
		outcome  record.Outcome
		status   Status
	}{
		{"timeout meanwhile", at, at + 4*time.Second, record.Timeout, Pass},
		{"reset meanwhile", at, at + 4*time.Second, record.Other, Pass},
		{"timeout before", at + time.Second, at + time.Minute, record.Timeout, Inconclusive},
		{"timeout long after", at, at + time.Second, record.Timeout, Inconclusive},
		{"unreachable meanwhile", at, at + 4*time.Second, record.Unreachable, Inconclusive},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newScene()
			s.fail("p-0", "p-1", at, 5, row.outcome, nil, nil)
			s.disturb(row.from, row.to)
			status, reason := checkNewConnections(s.analyse(t, false))
			assert.Equal(t, row.status, status, reason)
		})
	}
	s := newScene()
	s.fail("p-0", "p-1", at, 5, record.Timeout, nil, nil)
	s.disturb(at, at+4*time.Second)
	_, reason := checkNewConnections(s.analyse(t, false))
	assert.Equal(t, "none of 1,200 new connections failed for a credential reason; 5 had no "+
		"answer in time, from a pod that was down or over a network that was disturbed", reason)
	status, reason := checkProof(s.analyse(t, false))
	assert.Equal(t, Pass, status, reason)
}

// A disturbance is between the pods it names and others, not among either.
func TestDisturbedBetween(t *testing.T) {
	s := newScene()
	s.plan.Pods = append(s.plan.Pods, scenarios.Pod{Name: "p-2", Workload: "p", Node: "n"})
	s.plan.Pods = append(s.plan.Pods, scenarios.Pod{Name: "p-3", Workload: "p", Node: "n"})
	s.disturb(3*time.Minute, 4*time.Minute)
	s.plan.Actions[1].Pods = []string{"p-1", "p-2"}
	a := s.analyse(t, false)
	toTheEnd := []stretch{{3 * time.Minute, 10 * time.Minute}} // the end is of other pods
	assert.Equal(t, toTheEnd, a.disturbedBetween(0, 1))
	assert.Equal(t, toTheEnd, a.disturbedBetween(2, 3))
	assert.Empty(t, a.disturbedBetween(1, 2))
	assert.Empty(t, a.disturbedBetween(0, 3))
	assert.Empty(t, a.disturbedBetween(-1, -1))
}

// Each pod that is named needs a proof of its own.
func TestDisturbanceIsProvedForEachPod(t *testing.T) {
	s := newScene()
	s.disturb(3*time.Minute, 4*time.Minute)
	s.plan.Actions[2].Pods = []string{"p-0", "p-1"}
	status, reason := checkProof(s.analyse(t, false))
	assert.Equal(t, Inconclusive, status)
	assert.Equal(t, "of 3 actions, 1 never seen to take effect; the first is d/restore, due at "+
		"4m; it was not seen for p-0", reason)
}

// An association that ends over a disturbed network is none of the credentials' doing, up to a
// second after it is restored.
func TestAssociationsOverDisturbedNetwork(t *testing.T) {
	const from, to = 3 * time.Minute, 4 * time.Minute
	for _, row := range []struct {
		at     time.Duration
		status Status
	}{
		{from - time.Second, Fail},
		{from + 4*time.Second, Pass},
		{to + time.Second, Pass},
		{to + 2*time.Second, Fail},
	} {
		s := newScene()
		s.plan.Peers[0].Associations = "ring"
		s.associate(0, 1, record.OK)
		s.drop(row.at)
		s.associate(row.at+time.Second, 3, record.Timeout)
		s.associate(row.at+10*time.Second, 1, record.OK)
		s.disturb(from, to)
		status, reason := checkAssociations(s.analyse(t, false))
		assert.Equal(t, row.status, status, "%s: %s", row.at, reason)
	}
}

// Successes of one pair are part of what their source had, not more of it.
func TestHistogramOfPairsByThemselves(t *testing.T) {
	attempts := newAttempts(scenarios.Plan{})
	whole := record.Span{Outcome: record.OK, To: 99 * time.Second, Count: 90}
	pair := record.Span{
		Outcome: record.OK, From: 40 * time.Second, To: 58 * time.Second, Count: 10,
		Latency: record.NewHistogram(),
	}
	attempts.add(&whole, 0, -1)
	attempts.add(&pair, 0, 1)
	counts := attempts.histogram(stretch{0, 100 * time.Second}, 10,
		func(course) time.Duration { return time.Second })
	require.Equal(t, record.OK, attempts.outcomes[0])
	for bin, count := range counts[0] {
		assert.InDelta(t, 10, count, 0.6, "bin %d", bin)
	}
}
