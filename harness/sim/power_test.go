package sim_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// away is how long a pod is away when its node is: it boots in 5 s and mounts in 2 s.
func away(off time.Duration) time.Duration { return off + 7*time.Second }

// powerCut returns the actions that cut the power of node-1 and boot it.
func powerCut(from, to time.Duration) []scenarios.Action {
	stop := act("stop", 0, from, scenarios.StopNode)
	start := act("start", 0, to, scenarios.StartNode)
	stop.Node, start.Node = "node-1", "node-1"
	return []scenarios.Action{stop, start}
}

// A node that is off is as good as all of its pods deleted and away for as long, but that dialling
// them has no answer instead of a refusal.
func TestMetamorphicNodeOutage(t *testing.T) {
	const from, off = 10 * time.Minute, 40 * time.Second
	for seed := range seeds(3) {
		s := setup{peers: 6, nodes: 3, horizon: 20 * time.Minute, seed: seed}
		s.actions = powerCut(from, from+off)
		node := perform(t, s.plan())
		restart := act("restart", 0, from, scenarios.RestartPods)
		restart.Pods, restart.Mode = []string{"peers-1", "peers-4"}, "pod"
		restart.Downtime = away(off)
		s.actions = []scenarios.Action{restart}
		pods := perform(t, s.plan())

		got, want := node.attempts(), pods.attempts()
		got[record.Unreachable] += got[record.Timeout]
		delete(got, record.Timeout)
		assert.Equal(t, want, got, "seed %d", seed)
		until := from + off + 5*time.Second
		assert.Equal(t, crossing(s.plan(), from, until, restart.Pods...),
			union(node.failed(record.Timeout), pods.skippedTo(from, until, s.plan())))
		assert.Equal(t, []string{
			"it is off, and its pods with it", "a new process runs", "a new process runs",
		}, node.proofs("stop"))
		assert.Equal(t, []string{"its kubelet runs again"}, node.proofs("start"))
		downs := 0
		for _, row := range node {
			if row.Kind == record.Down {
				downs++
				assert.Equal(t, "stop", row.Action)
				assert.Equal(t, "its node is off", row.Detail)
				assert.Equal(t, from, row.From)
				assert.Equal(t, away(off), row.To-row.From)
			}
		}
		assert.Equal(t, 2, downs)
	}
}

// skippedTo counts the dials of the pods that were down in [from, to), to those that were up.
func (r rows) skippedTo(from, to time.Duration, plan scenarios.Plan) map[pair]int64 {
	down := map[string]bool{}
	var names []string
	for _, row := range r {
		if row.Kind == record.Down {
			down[row.Source] = true
			names = append(names, row.Source)
		}
	}
	out := map[pair]int64{}
	for p, n := range crossing(plan, from, to, names...) {
		if down[p.source] {
			out[p] = n
		}
	}
	return out
}

func union(a, b map[pair]int64) map[pair]int64 {
	out := map[pair]int64{}
	for _, m := range []map[pair]int64{a, b} {
		for p, n := range m {
			out[p] += n
		}
	}
	return out
}

// Peers of a dead node notice when their keep-alives do; a pod of it that was a source ends at
// once.
func TestNodeOutageEndsAssociations(t *testing.T) {
	const from, to = 5 * time.Minute, 6 * time.Minute
	for seed := range seeds(5) {
		got := perform(t, setup{
			peers: 4, nodes: 2, horizon: 10 * time.Minute, seed: seed, dialEvery: -1,
			actions: powerCut(from, to),
		}.plan())
		ended, back := got.ends(from)
		require.Len(t, ended, 4, "seed %d", seed)
		for p, at := range ended {
			if p.source == "peers-1" || p.source == "peers-3" {
				assert.Equal(t, from, at)
				continue
			}
			assert.GreaterOrEqual(t, at, from+3*time.Second, "seed %d", seed)
			assert.LessOrEqual(t, at, from+4*time.Second, "seed %d", seed)
		}
		require.Len(t, back, 4, "seed %d", seed)
		for _, at := range back {
			assert.InDelta(t, (from + away(time.Minute)).Seconds(), at.Seconds(), 6)
		}
	}
}

// What was written while a node was off is what its pods start with; its kubelet syncs as before.
func TestNodeBootsWithWhatIsThere(t *testing.T) {
	const from, to = 5 * time.Minute, 10 * time.Minute
	for _, detection := range []scenarios.ChangeDetection{
		scenarios.Watch, scenarios.Get, scenarios.Cache,
	} {
		first, second := rotateLeaf(6*time.Minute), rotateLeaf(12*time.Minute)
		first.Fault, second.Fault = 1, 2
		actions := powerCut(from, to)
		plan := setup{
			peers: 2, nodes: 2, horizon: 20 * time.Minute,
			actions: []scenarios.Action{actions[0], first, actions[1], second},
		}.plan()
		for i := range plan.Nodes {
			plan.Nodes[i].ChangeDetection = detection
			plan.Nodes[i].CacheTTL = 30 * time.Second
		}
		got := perform(t, plan)
		assert.Equal(t, from+away(to-from), got.reloads("leaf/2")["peers-1"], detection)
		assert.InDelta(t, 12*60+60, got.reloads("leaf/3")["peers-1"].Seconds(), 62, detection)
		assert.Greater(t, got.reloads("leaf/3")["peers-1"], 12*time.Minute, detection)
	}
}

// Without an API server a node that boots has no pods to start.
func TestNodeBootsWithoutAPI(t *testing.T) {
	actions := powerCut(5*time.Minute, 6*time.Minute)
	stop := act("api-stop", 1, 5*time.Minute, scenarios.StopAPI)
	start := act("api-start", 1, 8*time.Minute, scenarios.StartAPI)
	got := perform(t, setup{
		peers: 2, nodes: 2, horizon: 10 * time.Minute,
		actions: []scenarios.Action{actions[0], stop, actions[1], start},
	}.plan())
	for _, row := range got {
		if row.Kind == record.Up {
			assert.Equal(t, 8*time.Minute+2*time.Second, row.From)
		}
		if row.Kind == record.Proof && row.Action == "start" {
			assert.Equal(t, 8*time.Minute, row.From)
		}
	}
	assert.Len(t, got.proofs("start"), 1)
	counts := got.attempts()
	assert.InDelta(t, 65*10, counts[record.Timeout], 2, "while it is off or boots")
	assert.InDelta(t, 117*10, counts[record.Unreachable], 2, "then it answers that nobody is there")
}

// What does not change anything is not proved; what is done to a kubelet without power waits.
func TestNodeOutageAmongOthers(t *testing.T) {
	again := act("again", 1, 6*time.Minute, scenarios.StopNode)
	again.Node = "node-1"
	pause := act("pause", 2, 6*time.Minute, scenarios.PauseSync)
	pause.Node = "node-1"
	configure := act("configure", 3, 6*time.Minute, scenarios.ConfigureKubelet)
	configure.Node = "node-1"
	configure.Kubelet = &scenarios.PlannedNode{
		Name: "node-1", SyncFrequency: 5 * time.Second, ChangeDetection: scenarios.Watch,
	}
	restart := act("restart", 4, 6*time.Minute, scenarios.RestartPods)
	restart.Pods, restart.Mode = []string{"peers-1"}, "pod"
	whole := act("whole", 5, 8*time.Minute, scenarios.StartNode)
	whole.Node = "node"
	rotate := rotateLeaf(9 * time.Minute)
	rotate.Fault = 6
	actions := powerCut(5*time.Minute, 7*time.Minute)
	got := perform(t, setup{
		peers: 4, nodes: 2, horizon: 12 * time.Minute, actions: []scenarios.Action{
			actions[0], again, pause, configure, restart, actions[1], whole, rotate,
		},
	}.plan())
	for _, id := range []string{"again", "pause", "restart", "whole"} {
		assert.Empty(t, got.proofs(id), id)
	}
	assert.Equal(t, []string{"restarted with syncFrequency 5s"}, got.proofs("configure"))
	for _, row := range got {
		if row.Kind == record.Proof && row.Action == "configure" {
			assert.Equal(t, 7*time.Minute+5*time.Second, row.From)
		}
	}
	for _, pod := range []string{"peers-1", "peers-3"} {
		assert.Less(t, got.reloads("leaf/2")[pod], 9*time.Minute+10*time.Second, pod)
	}
}

// A pod that was down already when the power went starts with the others, in a fresh volume.
func TestPowerFailsForPodThatIsDown(t *testing.T) {
	for _, downtime := range []time.Duration{30 * time.Second, 150 * time.Second} {
		restart := act("restart", 1, 290*time.Second, scenarios.RestartPods)
		restart.Pods, restart.Mode, restart.Downtime = []string{"peers-1"}, "container", downtime
		rotate := rotateLeaf(5*time.Minute + 30*time.Second)
		rotate.Fault = 2
		actions := powerCut(5*time.Minute, 6*time.Minute)
		got := perform(t, setup{
			peers: 2, nodes: 2, horizon: 10 * time.Minute,
			actions: []scenarios.Action{restart, actions[0], rotate, actions[1]},
		}.plan())
		ups := 0
		for _, row := range got {
			if row.Kind == record.Up {
				ups++
				assert.Equal(t, 6*time.Minute+7*time.Second, row.From, downtime)
			}
		}
		assert.Equal(t, 1, ups, downtime)
		assert.Equal(t, 6*time.Minute+7*time.Second, got.reloads("leaf/2")["peers-1"], downtime)
	}
}

// A second cut of the power while a node boots ends the boot.
func TestPowerFailsWhileBooting(t *testing.T) {
	actions := powerCut(5*time.Minute, 6*time.Minute)
	second := powerCut(6*time.Minute+2*time.Second, 7*time.Minute)
	for i := range second {
		second[i].Fault, second[i].ID = 1, "second-"+second[i].ID
	}
	got := perform(t, setup{
		peers: 2, nodes: 2, horizon: 10 * time.Minute,
		actions: []scenarios.Action{actions[0], actions[1], second[0], second[1]},
	}.plan())
	assert.Empty(t, got.proofs("start"))
	assert.Equal(t, []string{"it is off, and its pods with it"}, got.proofs("second-stop"))
	assert.Len(t, got.proofs("second-start"), 1)
	for _, row := range got {
		if row.Kind == record.Up {
			assert.Equal(t, 7*time.Minute+7*time.Second, row.From)
		}
	}
}
