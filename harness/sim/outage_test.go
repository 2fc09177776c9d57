package sim_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/harness/sim"
	"github.com/certquake/certquake/scenarios"
)

// outage returns the actions that take the API server or the webhook down and bring it back.
func outage(stop, start scenarios.Verb, from, to time.Duration) []scenarios.Action {
	return []scenarios.Action{act("stop", 7, from, stop), act("start", 7, to, start)}
}

func apiOutage(from, to time.Duration) []scenarios.Action {
	return outage(scenarios.StopAPI, scenarios.StartAPI, from, to)
}

// inOrder joins actions in order of time.
func inOrder(groups ...[]scenarios.Action) []scenarios.Action {
	all := slices.Concat(groups...)
	slices.SortStableFunc(all, func(a, b scenarios.Action) int { return int(a.At - b.At) })
	return all
}

// writes returns when the leaf's Secret was written after the start.
func (r rows) writes() (at []time.Duration) {
	for _, row := range r {
		if row.Kind == record.Write && row.Source == leafSecret && row.From > 0 {
			at = append(at, row.From)
		}
	}
	return at
}

// provedBy returns who proved an action, and when.
func (r rows) provedBy(action string) (subject string, at time.Duration) {
	for _, row := range r {
		if row.Kind == record.Proof && row.Action == action {
			return row.Source, row.From
		}
	}
	return "", -1
}

const issuance = 50 * time.Millisecond

func TestAPIOutageIsProvedAtBothEnds(t *testing.T) {
	got := perform(t, setup{
		peers: 3, horizon: 20 * time.Minute, actions: apiOutage(10*time.Minute, 15*time.Minute),
	}.plan())
	assert.Equal(t, []string{"it does not answer"}, got.proofs("stop"))
	assert.Equal(t, []string{"it answers"}, got.proofs("start"))
	subject, at := got.provedBy("start")
	assert.Equal(t, "API server", subject)
	assert.Equal(t, 15*time.Minute, at)
	assert.Equal(t, map[record.Outcome]int64{record.OK: 3 * 12000}, got.attempts(),
		"pods that run do not notice")
}

func TestRotationWaitsForTheAPI(t *testing.T) {
	got := perform(t, setup{
		peers: 4, horizon: 20 * time.Minute,
		actions: inOrder(apiOutage(10*time.Minute, 15*time.Minute),
			[]scenarios.Action{rotateLeaf(11 * time.Minute)}),
	}.plan())
	assert.Equal(t, []time.Duration{15*time.Minute + issuance}, got.writes())
	for pod, at := range got.reloads("leaf/2") {
		assert.Greater(t, at, 15*time.Minute, pod)
		assert.LessOrEqual(t, at, 15*time.Minute+90*time.Second+issuance, pod)
	}
	_, at := got.provedBy("rotate")
	assert.Equal(t, 15*time.Minute+issuance, at)
}

func TestRenewalWaitsForTheAPI(t *testing.T) {
	got := perform(t, setup{
		peers: 2, horizon: 4 * time.Hour, duration: 3 * time.Hour, renewBefore: time.Hour,
		actions: apiOutage(time.Hour, 150*time.Minute),
	}.plan())
	assert.Equal(t, []time.Duration{150*time.Minute + issuance}, got.writes(),
		"due at 2h")
}

// An issuance goes on only when neither cert-manager's own outage nor the API's lasts.
func TestOutagesOfAPIAndCertManagerOverlap(t *testing.T) {
	stop := act("stop-issuer", 1, 9*time.Minute, scenarios.StopIssuer)
	start := act("start-issuer", 1, 12*time.Minute, scenarios.StartIssuer)
	late := start
	late.At = 17 * time.Minute
	for _, c := range []struct {
		start scenarios.Action
		want  time.Duration
	}{{start, 15 * time.Minute}, {late, 17 * time.Minute}} {
		got := perform(t, setup{
			peers: 2, horizon: 20 * time.Minute,
			actions: inOrder([]scenarios.Action{stop, c.start, rotateLeaf(9 * time.Minute)},
				apiOutage(10*time.Minute, 15*time.Minute)),
		}.plan())
		assert.Equal(t, []time.Duration{c.want + issuance}, got.writes())
	}
}

// What was written before the outage: a watching kubelet has it, a caching one has it once it has
// fetched it, and one that asks every time must wait for the return and its back-off.
func TestKubeletsWithoutAnAPI(t *testing.T) {
	const written, back = 10*time.Minute + issuance, 20 * time.Minute
	reached := func(t *testing.T, detection scenarios.ChangeDetection) []time.Duration {
		t.Helper()
		plan := setup{
			peers: 40, horizon: 30 * time.Minute, dialEvery: -1,
			actions: inOrder([]scenarios.Action{rotateLeaf(10 * time.Minute)},
				apiOutage(10*time.Minute+2*time.Second, back)),
		}.plan()
		plan.Nodes[0].ChangeDetection = detection
		if detection == scenarios.Cache {
			plan.Nodes[0].CacheTTL = 100 * time.Minute
		}
		var all []time.Duration
		for _, at := range perform(t, plan).reloads("leaf/2") {
			all = append(all, at)
		}
		slices.Sort(all)
		return all
	}
	t.Run("Watch", func(t *testing.T) {
		all := reached(t, scenarios.Watch)
		require.Len(t, all, 40)
		assert.LessOrEqual(t, all[39], written+90*time.Second, "as without an outage")
	})
	t.Run("Get", func(t *testing.T) {
		all := reached(t, scenarios.Get)
		require.Len(t, all, 40)
		before := slices.IndexFunc(all, func(at time.Duration) bool { return at >= back })
		assert.Less(t, before, 10, "few sync in the 2 s before the outage")
		for _, at := range all[:before] {
			assert.Less(t, at, 10*time.Minute+2*time.Second)
		}
		for _, at := range all[before:] {
			assert.GreaterOrEqual(t, at, back)
			assert.LessOrEqual(t, at, back+15*time.Second, "the back-off, not the resync interval")
		}
		mean := time.Duration(0)
		for _, at := range all[before:] {
			mean += (at - back) / time.Duration(40-before)
		}
		// The residual of U[10, 15] s: E[t²]/2E[t] = 158.33/25.
		assert.InDelta(t, 6.33, mean.Seconds(), 2, "of %d pods", 40-before)
	})
	t.Run("Cache", func(t *testing.T) {
		assert.Empty(t, reached(t, scenarios.Cache), "not fetched before, and fresh for long")
	})
}

// A cached object that expires while the API is down stays in use without an error, and is fetched
// at the first sync after the return.
func TestExpiredCacheIsServedUntilTheAPIIsBack(t *testing.T) {
	plan := setup{
		peers: 20, horizon: 40 * time.Minute, dialEvery: -1,
		actions: inOrder([]scenarios.Action{rotateLeaf(10 * time.Minute)},
			apiOutage(10*time.Minute+issuance, 30*time.Minute)),
	}.plan()
	plan.Nodes[0].ChangeDetection, plan.Nodes[0].CacheTTL = scenarios.Cache, 5*time.Minute
	adopted := perform(t, plan).reloads("leaf/2")
	require.Len(t, adopted, 20)
	for pod, at := range adopted {
		assert.GreaterOrEqual(t, at, 30*time.Minute, pod)
		assert.LessOrEqual(t, at, 30*time.Minute+180*time.Second, pod)
	}
}

// The fetch after the return is the pod's first sync, and the cached object's age counts from it.
func TestCacheIsAsOldAsItsFetchAfterAnOutage(t *testing.T) {
	for seed := range seeds(8) {
		again := rotateLeaf(32 * time.Minute)
		again.ID, again.Fault = "again", 1
		plan := setup{
			peers: 1, horizon: time.Hour, dialEvery: -1, seed: seed,
			actions: inOrder([]scenarios.Action{rotateLeaf(10 * time.Minute), again},
				apiOutage(10*time.Minute+issuance, 30*time.Minute)),
		}.plan()
		plan.Nodes[0].ChangeDetection, plan.Nodes[0].CacheTTL = scenarios.Cache, 5*time.Minute
		got := perform(t, plan)
		first, second := got.reloads("leaf/2")["peers-0"], got.reloads("leaf/3")["peers-0"]
		assert.GreaterOrEqual(t, first, 30*time.Minute, "seed %d", seed)
		assert.GreaterOrEqual(t, second-first, 5*time.Minute, "seed %d", seed)
	}
}

// Kubelets that are paused or released during an outage fetch nothing until it is over, and then
// do not think that they had.
func TestPausedCacheWithoutAnAPI(t *testing.T) {
	for _, c := range []struct {
		name                string
		pause, resume, from time.Duration
	}{
		{"released in the outage", 9 * time.Minute, 15 * time.Minute, 20 * time.Minute},
		{"paused in the outage", 19 * time.Minute, 21 * time.Minute, 21 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			pause := act("pause", 1, c.pause, scenarios.PauseSync)
			resume := act("resume", 1, c.resume, scenarios.ResumeSync)
			pause.Node, resume.Node = "node", "node"
			leaf := rotateLeaf(10*time.Minute - time.Second)
			leaf.Fault = 2
			for seed := range seeds(6) {
				plan := setup{
					peers: 12, horizon: 30 * time.Minute, dialEvery: -1, seed: seed,
					actions: inOrder([]scenarios.Action{pause, leaf, resume},
						apiOutage(10*time.Minute, 20*time.Minute)),
				}.plan()
				n := &plan.Nodes[0]
				n.ChangeDetection, n.CacheTTL = scenarios.Cache, 8*time.Minute
				adopted := perform(t, plan).reloads("leaf/2")
				require.Len(t, adopted, 12, "seed %d", seed)
				for pod, at := range adopted {
					assert.GreaterOrEqual(t, at, c.from, "seed %d: %s", seed, pod)
					assert.LessOrEqual(t, at, c.from+110*time.Second, "seed %d: %s", seed, pod)
				}
			}
		})
	}
}

func TestPodDeletedInAnOutageIsNotReplaced(t *testing.T) {
	restart := act("restart", 0, 10*time.Minute, scenarios.RestartPods)
	restart.Pods, restart.Mode, restart.Downtime = []string{"peers-1"}, "pod", 5*time.Second
	downs := func(mode string, from, to time.Duration) rows {
		restart.Mode = mode
		got := perform(t, setup{
			peers: 4, horizon: 20 * time.Minute,
			actions: inOrder(apiOutage(from, to), []scenarios.Action{restart}),
		}.plan())
		return slices.DeleteFunc(got, func(row record.Span) bool { return row.Kind != record.Down })
	}
	t.Run("deleted before", func(t *testing.T) {
		got := downs("pod", 10*time.Minute+time.Second, 15*time.Minute)
		require.Len(t, got, 1)
		assert.Equal(t, 10*time.Minute, got[0].From)
		assert.Equal(t, 15*time.Minute+2*time.Second, got[0].To)
		assert.Equal(t, "the API server is down", got[0].Detail)
	})
	t.Run("to be deleted meanwhile", func(t *testing.T) {
		got := downs("pod", 9*time.Minute, 15*time.Minute)
		require.Len(t, got, 1)
		assert.Equal(t, 15*time.Minute, got[0].From, "the deletion itself waits")
		assert.Equal(t, 15*time.Minute+5*time.Second, got[0].To)
	})
	t.Run("restarted in place", func(t *testing.T) {
		for _, mode := range []string{"container", "kill"} {
			got := downs(mode, 9*time.Minute, 15*time.Minute)
			require.Len(t, got, 1, mode)
			assert.Equal(t, 10*time.Minute, got[0].From, mode)
			assert.Equal(t, 10*time.Minute+5*time.Second, got[0].To, mode)
		}
	})
}

// Each action that writes through the API server waits for it, with its proof.
func TestActionsWaitForTheAPI(t *testing.T) {
	for _, verb := range []scenarios.Verb{
		scenarios.RemoveSecret, scenarios.TrimBundle, scenarios.WriteTornPair,
	} {
		action := act("it", 1, 11*time.Minute, verb)
		action.Secrets = []string{leafSecret}
		got := perform(t, setup{
			peers: 2, horizon: 20 * time.Minute, actions: inOrder(
				apiOutage(10*time.Minute, 15*time.Minute), []scenarios.Action{action}),
		}.plan())
		subject, at := got.provedBy("it")
		assert.Equal(t, leafSecret, subject, verb)
		assert.Equal(t, 15*time.Minute, at, verb)
		assert.Equal(t, 15*time.Minute, got.writes()[0], verb)
	}
	restore := act("it", 1, 14*time.Minute, scenarios.RestorePair)
	tear := act("tear", 1, 9*time.Minute, scenarios.WriteTornPair)
	restore.Secrets, tear.Secrets = []string{leafSecret}, []string{leafSecret}
	got := perform(t, setup{
		peers: 2, horizon: 20 * time.Minute, actions: inOrder(
			[]scenarios.Action{act("down", 2, 8*time.Minute, scenarios.StopIssuer), tear, restore},
			apiOutage(10*time.Minute, 15*time.Minute)),
	}.plan())
	assert.Equal(t, []time.Duration{9 * time.Minute, 15 * time.Minute}, got.writes())
}

// The steps of a bundle swap keep their order when several of them wait.
func TestSwapStepsWaitInOrder(t *testing.T) {
	got := perform(t, setup{
		peers: 4, horizon: 40 * time.Minute, actions: inOrder(
			bundleSwap(10*time.Minute, 2*time.Minute), apiOutage(9*time.Minute, 20*time.Minute)),
	}.plan())
	var trust []string
	for _, row := range got {
		if row.Kind == record.Write && row.Source == leafSecret && row.From > 0 {
			trust = append(trust, row.Own.Leaf+" "+row.Own.Trust)
			assert.GreaterOrEqual(t, row.From, 20*time.Minute)
		}
	}
	require.Len(t, trust, 3, "%v", trust)
	assert.Equal(t, []string{"leaf/1 ca/1+ca/2", "leaf/2 ca/1+ca/2", "leaf/2 ca/2"}, trust)
}

func TestKubeletRestartedWithoutAnAPIComesUpWithIt(t *testing.T) {
	set := act("set", 1, 11*time.Minute, scenarios.ConfigureKubelet)
	set.Node = "node"
	set.Kubelet = &scenarios.PlannedNode{
		SyncFrequency: 2 * time.Second, ChangeDetection: scenarios.Watch,
	}
	got := perform(t, setup{
		peers: 8, sync: 10 * time.Minute, horizon: 30 * time.Minute,
		actions: inOrder([]scenarios.Action{rotateLeaf(10*time.Minute - time.Second), set},
			apiOutage(10*time.Minute, 20*time.Minute)),
	}.plan())
	_, at := got.provedBy("set")
	assert.Equal(t, 20*time.Minute, at)
	adopted := got.reloads("leaf/2")
	require.Len(t, adopted, 8)
	for pod, at := range adopted {
		if at > 11*time.Minute {
			assert.Equal(t, 20*time.Minute, at, pod)
		}
	}
}

// One that is paused as well comes up only when it is released too.
func TestKubeletRestartedAndPausedWithoutAnAPI(t *testing.T) {
	set := act("set", 1, 11*time.Minute, scenarios.ConfigureKubelet)
	set.Node = "node"
	set.Kubelet = &scenarios.PlannedNode{
		SyncFrequency: 2 * time.Second, ChangeDetection: scenarios.Watch,
	}
	pause := act("pause", 2, 12*time.Minute, scenarios.PauseSync)
	resume := act("resume", 2, 25*time.Minute, scenarios.ResumeSync)
	pause.Node, resume.Node = "node", "node"
	got := perform(t, setup{
		peers: 8, sync: 10 * time.Minute, horizon: 30 * time.Minute, actions: inOrder(
			[]scenarios.Action{rotateLeaf(10*time.Minute - time.Second), set, pause, resume},
			apiOutage(10*time.Minute, 20*time.Minute)),
	}.plan())
	for _, action := range []string{"set", "resume"} {
		_, at := got.provedBy(action)
		assert.Equal(t, 25*time.Minute, at, action)
	}
	for pod, at := range got.reloads("leaf/2") {
		if at > 11*time.Minute {
			assert.Equal(t, 25*time.Minute, at, pod)
		}
	}
}

// A paused kubelet that asks every time and goes on during the outage fails its syncs too.
func TestReleasedKubeletFailsWithoutAnAPI(t *testing.T) {
	pause := act("pause", 1, 9*time.Minute, scenarios.PauseSync)
	resume := act("resume", 1, 15*time.Minute, scenarios.ResumeSync)
	pause.Node, resume.Node = "node", "node"
	leaf := rotateLeaf(10*time.Minute - time.Second)
	leaf.Fault = 2
	plan := setup{
		peers: 12, horizon: 30 * time.Minute, dialEvery: -1,
		actions: inOrder([]scenarios.Action{pause, leaf, resume},
			apiOutage(10*time.Minute, 20*time.Minute)),
	}.plan()
	plan.Nodes[0].ChangeDetection = scenarios.Get
	adopted := perform(t, plan).reloads("leaf/2")
	require.Len(t, adopted, 12)
	for pod, at := range adopted {
		assert.GreaterOrEqual(t, at, 20*time.Minute, pod)
		assert.LessOrEqual(t, at, 20*time.Minute+15*time.Second, pod)
	}
}

// TestMetamorphicNothingIsWrittenWithoutAnAPI: whatever else happens.
func TestMetamorphicNothingIsWrittenWithoutAnAPI(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var got rows
		if err := harness.Run(t.Context(), anySetup(rt).plan(), sim.New(), &got, nil); err != nil {
			rt.Fatal(err)
		}
		down := false
		for _, row := range got {
			switch {
			case row.Kind == record.Proof && row.Source == "API server":
				down = row.Detail == "it does not answer"
			case row.Kind == record.Write && down:
				rt.Fatalf("written while the API server is down: %+v", row)
			}
		}
	})
}
