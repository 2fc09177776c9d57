package sim_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/reports"
	"github.com/certquake/certquake/scenarios"
)

// distance returns the Kolmogorov-Smirnov distance of a sample, which it sorts, from a law.
func distance(sample []float64, law func(float64) float64) float64 {
	slices.Sort(sample)
	far, n := 0.0, float64(len(sample))
	for i, x := range sample {
		share := law(x)
		far = max(far, share-float64(i)/n, float64(i+1)/n-share)
	}
	return far
}

// delays returns, by pod, the seconds from the write of the leaf to its use.
func (r rows) delays(leaf string) map[string]float64 {
	out := map[string]float64{}
	for _, row := range r {
		if row.Kind == record.Reload && row.Own.Leaf == leaf && row.From > 0 {
			out[row.Source] = (row.To - row.From).Seconds()
		}
	}
	return out
}

// TestLawOfTicks holds the simulator against the very distribution that reports show: one write
// and thousands of pods, each on a node of its own, so that all delays are independent. A write
// soon after the start tells of how timelines begin: with a syncFrequency of 1s or 2s every
// interval is of 2 or 3 ticks, so that nothing would ever mend a wrong beginning.
func TestLawOfTicks(t *testing.T) {
	const soon, late = 300 * time.Millisecond, 10*time.Minute + 300*time.Millisecond
	for _, c := range []struct {
		sync, ttl, at time.Duration
	}{
		{sync: time.Second, at: soon},
		{sync: time.Second, at: late},
		{sync: 2 * time.Second, at: soon},
		{sync: 2 * time.Second, at: late},
		{sync: 2500 * time.Millisecond, at: soon},
		{sync: 5 * time.Second, at: soon},
		{sync: 5 * time.Second, at: late},
		{sync: 10 * time.Second, at: soon},
		{sync: 10 * time.Second, at: late},
		{sync: time.Minute, at: soon},
		{sync: time.Minute, at: late},
		{sync: 2 * time.Second, ttl: 3 * time.Second, at: late},
		{sync: 10 * time.Second, ttl: 7 * time.Second, at: late},
	} {
		t.Run(fmt.Sprintf("sync=%s,ttl=%s,at=%s", c.sync, c.ttl, c.at), func(t *testing.T) {
			const pods = 4000
			var sample []float64
			var law reports.Law
			for seed := range seeds(1) {
				plan := setup{
					peers: pods, nodes: pods, sync: c.sync, ttl: c.ttl, dialEvery: -1, seed: seed,
					horizon: c.at + 3*time.Minute, actions: []scenarios.Action{rotateLeaf(c.at)},
				}.plan()
				plan.Peers[0].Associations = "none"
				if c.ttl > 0 {
					plan.Peers[0].Policy = "poll"
				}
				law = reports.NewLaw(plan)
				// The volume manager's loops and the write take 300 ms at most.
				require.LessOrEqual(t, law.Max()+0.3, plan.Bound().Seconds())
				for _, delay := range perform(t, plan).delays("leaf/2") {
					sample = append(sample, delay)
				}
			}
			require.Len(t, sample, pods*int(seeds(1)))
			n := math.Sqrt(float64(len(sample)))
			far := distance(sample, law.CDF)
			t.Logf("distance %.4f, %.2f of the root of the sample's size", far, far*n)
			assert.Less(t, far*n, 1.63, "the critical value of 1 %%")
			assert.LessOrEqual(t, slices.Max(sample), law.Max())
		})
	}
}

// phaseOf returns the part of the tick at which pods took the leaf into use, by node.
func phaseOf(t *testing.T, plan scenarios.Plan, got rows, leaf string) map[string]time.Duration {
	t.Helper()
	used := got.reloads(leaf)
	phases := map[string]time.Duration{}
	for _, pod := range plan.Pods {
		require.Contains(t, used, pod.Name)
		at := used[pod.Name] % time.Second
		if phase, ok := phases[pod.Node]; ok {
			assert.Equal(t, phase, at, "%s is in step with its node", pod.Name)
		}
		phases[pod.Node] = at
	}
	return phases
}

// A kubelet's pods are synced at its ticks, which are at a phase of the kubelet's own until it
// restarts; a pause and a failed sync leave it as it is.
func TestTicksAreTheKubelets(t *testing.T) {
	set := act("set", 1, 20*time.Minute, scenarios.ConfigureKubelet)
	set.Node, set.Kubelet = "node", &scenarios.PlannedNode{
		SyncFrequency: 7 * time.Second, ChangeDetection: scenarios.Watch,
	}
	pause := act("pause", 2, 24*time.Minute, scenarios.PauseSync)
	resume := act("resume", 2, 26*time.Minute+70*time.Millisecond, scenarios.ResumeSync)
	pause.Node, resume.Node = "node-1", "node-1"
	again, last := rotateLeaf(22*time.Minute), rotateLeaf(28*time.Minute)
	again.ID, last.ID = "again", "last"
	plan := setup{
		peers: 40, nodes: 4, sync: 10 * time.Second, dialEvery: -1, horizon: 35 * time.Minute,
		actions: byTime(rotateLeaf(10*time.Minute), set, again, pause, resume, last),
	}.plan()
	plan.Nodes[2].ChangeDetection = scenarios.Get
	plan.Actions = inOrder(plan.Actions, apiOutage(29*time.Minute, 30*time.Minute))
	got := perform(t, plan)
	first, second, third := phaseOf(t, plan, got, "leaf/2"), phaseOf(t, plan, got, "leaf/3"),
		phaseOf(t, plan, got, "leaf/4")
	assert.NotEqual(t, first["node"], second["node"], "it has restarted")
	assert.Equal(t, second["node"], third["node"])
	distinct := map[time.Duration]bool{}
	for _, node := range plan.Nodes {
		distinct[first[node.Name]] = true
		if node.Name != "node" {
			assert.Equal(t, first[node.Name], second[node.Name], node.Name)
			assert.Equal(t, first[node.Name], third[node.Name], node.Name)
		}
	}
	assert.Len(t, distinct, len(plan.Nodes))
}

// A failed sync is tried again at a tick too.
func TestRetriesAreAtTicks(t *testing.T) {
	plan := setup{
		peers: 20, sync: 10 * time.Second, dialEvery: -1, horizon: 20 * time.Minute,
		actions: inOrder([]scenarios.Action{rotateLeaf(10*time.Minute - time.Second)},
			apiOutage(10*time.Minute, 15*time.Minute)),
	}.plan()
	plan.Nodes[0].ChangeDetection = scenarios.Get
	phaseOf(t, plan, perform(t, plan), "leaf/2")
}

// What a kubelet missed while it was paused comes with one tick, at once: if one was missed, of
// pods with intervals of 75.5 s those that fell due in the second up to it and from there to the
// release.
func TestMissedTickComesAtOnce(t *testing.T) {
	const pods, seed = 24_000, 5
	const hold = 10 * time.Minute
	for _, length := range []time.Duration{20 * time.Millisecond, time.Second} {
		plan := setup{
			peers: pods, nodes: pods, dialEvery: -1, horizon: 15 * time.Minute, seed: seed,
			actions: []scenarios.Action{rotateLeaf(hold - issuance)},
		}.plan()
		plan.Peers[0].Associations = "none"
		for i, node := range plan.Nodes {
			pause := act(fmt.Sprint("pause ", i), i+1, hold, scenarios.PauseSync)
			resume := act(fmt.Sprint("resume ", i), i+1, hold+length, scenarios.ResumeSync)
			pause.Node, resume.Node = node.Name, node.Name
			plan.Actions = append(plan.Actions, pause, resume)
		}
		plan.Actions = inOrder(plan.Actions)
		atOnce := 0
		for pod, at := range perform(t, plan).reloads("leaf/2") {
			require.GreaterOrEqual(t, at, hold+length, pod)
			if at == hold+length {
				atOnce++
			}
		}
		h := length.Seconds()
		want := pods * h * (1 + h/2) / 75.5
		assert.InDelta(t, want, atOnce, 3*math.Sqrt(want), "paused for %s, seed %d", length, seed)
	}
}
