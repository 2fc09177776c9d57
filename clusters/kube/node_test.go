package kube

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// Every dial of a pod whose node is stopped is accounted for: what its process did not get to write
// counts as skipped, and what was written but never arrived is lost with a word on it.
func TestAccountingOfAStoppedNode(t *testing.T) {
	t.Parallel()
	const s, ms = time.Second, time.Millisecond
	stop := scenarios.Action{ID: "stopNode[0]/stop", Verb: scenarios.StopNode, Node: "n"}
	down := func(from, to time.Duration) []record.Span {
		return []record.Span{{
			Kind: record.Down, Source: "a-0", From: from, To: to, Action: stop.ID,
			Detail: "its node was stopped",
		}}
	}
	type sums map[record.Outcome]int64
	for name, test := range map[string]struct {
		play func(r *rig)
		want sums
		lost []string
		down []record.Span
	}{
		"it comes back": {func(r *rig) {
			r.tell("a-0", dialled(8, 500*ms, 7500*ms))
			r.stopping(stop)
			r.stopped("n", base.Add(10*s))
			r.tell("a-0", dialled(1, 8500*ms, 8500*ms)) // read from the log once it is back
			r.boot("a-0", "a-0/2")
			up := change(record.Up, "a-0", 14*s)
			up.Due = []int64{14}
			r.tell("a-0", up)
			r.tell("a-0", dialled(46, 14500*ms, 59500*ms))
			r.tell("a-0", change(record.End, "a-0", time.Minute))
		}, sums{record.OK: 55, record.Skipped: 5}, nil, down(10*s, 14*s)},
		"it stays away": {func(r *rig) {
			r.tell("a-0", dialled(9, 500*ms, 8500*ms))
			r.stopping(stop)
			r.stopped("n", base.Add(10*s))
		}, sums{record.OK: 9, record.Skipped: 51}, nil, down(10*s, time.Minute)},
		"its log had not arrived for long": {
			func(r *rig) {
				r.tell("a-0", dialled(2, 500*ms, 1500*ms))
				r.stopping(stop)
				r.stopped("n", base.Add(10*s))
			},
			sums{record.OK: 2, record.Skipped: 56},
			[]string{"2 dials of a-0: their rows did not arrive"},
			down(10*s, time.Minute),
		},
		"a pod that was down already is down for its own reason": {func(r *rig) {
			r.tell("a-0", dialled(10, 500*ms, 9500*ms))
			r.restarting("a-0", scenarios.Action{ID: "r", Mode: "pod"})
			r.tell("a-0", change(record.Down, "a-0", 10*s))
			r.stopping(stop)
			r.stopped("n", base.Add(12*s))
		}, sums{record.OK: 10, record.Skipped: 50}, nil, []record.Span{{
			Kind: record.Down, Source: "a-0", From: 10 * s, To: time.Minute, Action: "r",
			Detail: "restart (pod)",
		}}},
		"pods of other nodes are not concerned": {func(r *rig) {
			r.stopping(scenarios.Action{ID: "x", Node: "elsewhere"})
			r.stopped("elsewhere", base.Add(10*s))
			r.tell("a-0", dialled(60, 500*ms, 59500*ms))
			r.tell("a-0", change(record.End, "a-0", time.Minute))
		}, sums{record.OK: 60}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(p *scenarios.Plan) { p.Pods[0].Node = "n" })
			r.order = r.order[:1] // the others have no streams
			test.play(r)
			out := r.finish(time.Minute)
			assert.Equal(t, test.want, sums(balance(out)))
			var lost []string
			for _, row := range out.of(record.Lost) {
				lost = append(lost, row.Detail)
			}
			assert.Equal(t, test.lost, lost)
			assert.Equal(t, test.down, out.of(record.Down))
		})
	}
}

// noted is a cluster that notes what it is told to do.
func noted(w *world, fail scenarios.Verb) *[]string {
	var told []string
	w.target.Performs = map[scenarios.Verb]clusters.Perform{}
	for begin, end := range opposites() {
		for _, verb := range []scenarios.Verb{begin, end} {
			w.target.Performs[verb] = func(
				_ context.Context, a scenarios.Action,
			) (string, error) {
				told = append(told, string(verb)+" "+a.Node)
				if verb == fail {
					return "", errors.New("it burns")
				}
				return "seen", nil
			}
		}
	}
	return &told
}

// disturb, stop and so on begin something that is put back at the end, the API server first.
func beginEverything(t *testing.T, w *world) {
	t.Helper()
	for _, action := range []scenarios.Action{
		{Verb: scenarios.StopNode, Node: "a"},
		{Verb: scenarios.StopNode, Node: "b"},
		{Verb: scenarios.DisturbNetwork, Fault: 3, Pods: []string{"a-0", "a-1"}},
		{Verb: scenarios.StopWebhook},
		{Verb: scenarios.PauseSync, Node: "c"},
		{Verb: scenarios.StopAPI},
		{Verb: scenarios.StartNode, Node: "a"},
	} {
		require.NoError(t, w.perform(t.Context(), action))
	}
}

func TestPutBackOnAClusterThatStays(t *testing.T) {
	t.Parallel()
	_, w, _ := newTestWorld(t)
	w.target.Shared = true
	told := noted(w, "")
	beginEverything(t, w)
	*told = nil
	done, cancel := context.WithCancel(t.Context())
	cancel() // the run was interrupted
	w.putBack(done)
	assert.Equal(t, []string{
		"start-api ", "resume-sync c", "start-node b", "restore-network ", "start-webhook ",
	}, *told)
	assert.False(t, w.holding["c"])
}

// On a cluster that ends with the run only what keeps rows from arriving is put back.
func TestPutBackOnAClusterThatEnds(t *testing.T) {
	t.Parallel()
	_, w, _ := newTestWorld(t)
	told := noted(w, "")
	beginEverything(t, w)
	*told = nil
	w.putBack(t.Context())
	assert.Equal(t, []string{"start-api ", "resume-sync c"}, *told)
}

// What may have been begun is put back, too.
func TestPutBackOfWhatFailed(t *testing.T) {
	t.Parallel()
	_, w, _ := newTestWorld(t)
	told := noted(w, scenarios.PauseSync)
	err := w.perform(t.Context(), scenarios.Action{Verb: scenarios.PauseSync, Node: "c"})
	require.ErrorContains(t, err, "it burns")
	w.putBack(t.Context())
	assert.Equal(t, []string{"pause-sync c", "resume-sync c"}, *told)
}

// A disturbed network is proved for each of its pods.
func TestProofOfADisturbedNetwork(t *testing.T) {
	t.Parallel()
	r, w, _ := newTestWorld(t)
	noted(w, "")
	r.sofar()
	r.out = nil
	require.NoError(t, w.perform(t.Context(), scenarios.Action{
		ID: "d", Verb: scenarios.DisturbNetwork, Pods: []string{"a-0", "a-2"},
	}))
	var got []string
	for _, row := range r.sofar().of(record.Proof) {
		got = append(got, row.Source+" "+row.Detail)
	}
	assert.Equal(t, []string{"a-0 seen", "a-2 seen"}, got)
}

// What needs the API server waits while it is stopped.
func TestActionsWaitForTheAPIServer(t *testing.T) {
	t.Parallel()
	_, w, _ := newTestWorld(t)
	noted(w, "")
	require.NoError(t, w.awaitAPI(t.Context()))
	require.NoError(t, w.perform(t.Context(), scenarios.Action{Verb: scenarios.StopAPI}))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := w.perform(ctx, scenarios.Action{Verb: scenarios.RestartPods, Pods: []string{"a-0"}})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	w.ends(scenarios.Action{Verb: scenarios.StartAPI})
	require.NoError(t, w.awaitAPI(t.Context()))
}
