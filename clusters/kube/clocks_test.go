package kube

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/peer"
)

// way is what one exchange takes, there and back.
type way struct{ there, back time.Duration }

// exchanges compares a clock that is ahead with one that only exchanges move on.
func exchanges(ahead time.Duration, ways []way) comparison {
	now := base.Add(time.Hour)
	next := 0
	return compareClock(base, func() time.Time { return now }, func() (time.Time, error) {
		w := ways[min(next, len(ways)-1)]
		next++
		now = now.Add(w.there)
		told := now.Add(ahead)
		now = now.Add(w.back)
		return told, nil
	})
}

// However unequal the ways there and back are, the clock is within what is claimed of it.
func TestCompareClock(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(from, to time.Duration, what string) time.Duration {
			return time.Duration(rapid.Int64Range(int64(from), int64(to)).Draw(rt, what))
		}
		ahead := draw(-time.Hour, time.Hour, "ahead")
		ways := make([]way, clockAsks)
		shortest := time.Hour
		for i := range ways {
			ways[i] = way{draw(0, time.Second, "there"), draw(0, time.Second, "back")}
			shortest = min(shortest, ways[i].there+ways[i].back)
		}
		got := exchanges(ahead, ways)
		if off := (got.ahead - ahead).Abs(); off > got.within {
			rt.Fatalf("off by %s, claimed within %s", off, got.within)
		}
		if got.answers != clockAsks || got.within != (shortest+1)/2 {
			rt.Fatalf("%d answers, within %s; the shortest took %s",
				got.answers, got.within, shortest)
		}
	})
}

// The bound is met and not merely kept: all of a round trip on one way puts the answer off by half.
func TestCompareClockAtItsBound(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		ways        []way
		off, within time.Duration
	}{
		"equal ways":   {[]way{{5 * ms, 5 * ms}}, 0, 5 * ms},
		"slow there":   {[]way{{10 * ms, 0}}, 5 * ms, 5 * ms},
		"slow back":    {[]way{{0, 10 * ms}}, -5 * ms, 5 * ms},
		"the fastest":  {[]way{{80 * ms, 0}, {ms, 3 * ms}, {0, 90 * ms}}, -ms, 2 * ms},
		"no time":      {[]way{{0, 0}}, 0, 0},
		"odd duration": {[]way{{3, 0}}, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := comparison{
				ahead: time.Minute + test.off, within: test.within, answers: clockAsks,
			}
			assert.Equal(t, want, exchanges(time.Minute, test.ways))
		})
	}
}

// What gets no answer is left out; without any, the last reason stays.
func TestCompareClockWithoutAnswers(t *testing.T) {
	t.Parallel()
	now, n := base, 0
	away := errors.New("connection refused")
	got := compareClock(base, func() time.Time { return now }, func() (time.Time, error) {
		if n++; n == 3 {
			return base.Add(time.Second), nil
		}
		return time.Time{}, away
	})
	assert.Equal(t, comparison{ahead: time.Second, answers: 1, problem: away}, got)
	row := comparison{problem: away}.row("far")
	assert.Equal(t, record.Span{
		Kind: record.NodeClock, Source: "far", Outcome: record.Unreachable,
		Detail: "no pod on it told its clock: connection refused",
	}, row)
}

// clockAPI is an API server whose pods' nodes have clocks of their own.
type clockAPI struct {
	ahead  map[string]time.Duration // by pod
	mute   map[string]bool          // pods that refuse
	stuck  map[string]bool          // pods that never answer
	mu     sync.Mutex
	began  map[string]time.Time // the bases that pods were told
	asking int
}

func (a *clockAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, name, found := strings.Cut(r.URL.Path, "/pods/")
	name, path, told := strings.Cut(name, ":7480/proxy")
	switch {
	case !found || !told:
		refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound)
	case a.stuck[name]:
		<-r.Context().Done()
	case path == peer.PathBegin:
		var begin peer.Begin
		_ = json.NewDecoder(r.Body).Decode(&begin)
		a.mu.Lock()
		a.began[name] = begin.Base
		a.mu.Unlock()
		_ = json.NewEncoder(w).Encode(peer.Status{})
	case a.mute[name] || r.Method != http.MethodGet || path != peer.PathStatus:
		refuse(w, http.StatusForbidden, metav1.StatusReasonForbidden)
	default:
		a.mu.Lock()
		a.asking++
		a.mu.Unlock()
		_ = json.NewEncoder(w).Encode(peer.Status{Now: time.Now().Add(a.ahead[name])})
	}
}

// base returns the offset 0 that a pod was told.
func (a *clockAPI) base(pod string) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.began[pod]
}

// on puts a pod on a node.
func on(node string, pod *corev1.Pod) *corev1.Pod {
	pod.Spec.NodeName = node
	return pod
}

// newClockWorld returns a world of three pods that run on the nodes.
func newClockWorld(t *testing.T, api *clockAPI, nodes ...string) (*rig, *world) {
	t.Helper()
	api.began = map[string]time.Time{}
	r, w, _ := newTestWorld(t)
	w.target.Down = func(context.Context) error { return nil }
	w.native = clientOf(t, api)
	w.roster = newRoster(w.ctx, w.native, r.ledger)
	for i, node := range nodes {
		planned := w.plan.Pods[i].Name
		w.roster.saw(on(node, somePod(planned, strconv.Itoa(i), base, true)))
	}
	return r, w
}

// A pod on a node whose clock is off is told of offset 0 as that clock shows it, so that its rows
// come out right; the others are told as it is. The record has every clock, also at the end.
func TestNodeClocks(t *testing.T) {
	t.Parallel()
	const ahead = 90 * time.Second
	api := &clockAPI{ahead: map[string]time.Duration{"a-1-1": ahead, "a-2-2": -ahead}}
	r, w := newClockWorld(t, api, "near", "far", "late")
	require.NoError(t, w.begin(t.Context()))
	for _, lane := range r.order {
		lane.ended = true
	}
	require.NoError(t, w.Close(t.Context()))
	rows := r.out.of(record.NodeClock)
	require.Len(t, rows, 6)
	for i, want := range []struct {
		node  string
		pod   string
		ahead time.Duration
	}{
		{"far", "a-1-1", ahead}, {"late", "a-2-2", -ahead}, {"near", "a-0-0", 0},
	} {
		first, last := rows[i], rows[i+3]
		assert.Zero(t, first.To)
		assert.Equal(t, want.node, last.Source)
		for _, row := range []record.Span{first, last} {
			assert.Equal(t, want.node, row.Source)
			assert.Equal(t, record.OK, row.Outcome)
			assert.Positive(t, row.Uncertainty)
			assert.LessOrEqual(t, (row.Skew - want.ahead).Abs(), row.Uncertainty, row)
		}
		told := api.base(want.pod).Sub(w.base.Round(0))
		if want.ahead == 0 {
			assert.Zero(t, told, "what may be no difference corrects nothing")
		} else {
			assert.Equal(t, first.Skew, told)
		}
	}
	assert.Equal(t, "the fastest of 8 exchanges, with a-1", rows[0].Detail)
}

// Clocks that cannot be read are told as unknown, in the time that comparing may take; pods on
// their nodes are told of offset 0 as it is.
func TestNodeClocksUnknown(t *testing.T) {
	t.Parallel()
	api := &clockAPI{
		mute: map[string]bool{"a-1-1": true}, stuck: map[string]bool{"a-2-2": true},
		ahead: map[string]time.Duration{"a-0-0": time.Hour, "a-1-1": time.Hour},
	}
	_, w := newClockWorld(t, api, "good", "mute", "stuck")
	asked := time.Now()
	rows := w.compareClocks(t.Context(), w.base, clockLimit)
	assert.Less(t, time.Since(asked), clockLimit+5*time.Second)
	require.Len(t, rows, 3)
	assert.Equal(t, record.OK, rows[0].Outcome)
	assert.Equal(t, time.Hour, rows[0].Skew.Round(time.Minute))
	for _, row := range rows[1:] {
		assert.Equal(t, record.Unreachable, row.Outcome)
		assert.Contains(t, row.Detail, "no pod on it told its clock: ")
		assert.Zero(t, row.Skew+row.Uncertainty)
	}
	assert.Equal(t, w.base.Add(rows[0].Skew), w.beginOf(t.Context(), "a-0"))
	assert.Equal(t, w.base, w.beginOf(t.Context(), "a-1"))
	assert.Equal(t, w.base, w.beginOf(t.Context(), "a-3"), "there is none")

	// The first comparison is the one that counts, and a node without pods is still told of.
	api.mute = nil
	w.roster.lost(w.roster.pod("a-0"))
	rows = w.compareClocks(t.Context(), w.base, clockLimit)
	require.Len(t, rows, 3)
	assert.Equal(t, "no pod on it told its clock: none runs there", rows[0].Detail)
	assert.Equal(t, time.Hour, rows[1].Skew.Round(time.Minute))
	assert.Equal(t, w.base, w.beginOf(t.Context(), "a-1"))
}

// A node is compared when its first pod comes, and once; three of its pods at most are asked.
func TestNodeClockOfLatecomer(t *testing.T) {
	t.Parallel()
	api := &clockAPI{ahead: map[string]time.Duration{"a-1-4": time.Hour}}
	r, w := newClockWorld(t, api, "one", "one", "one")
	w.roster.saw(on("one", somePod("b-0", "3", base, true)))
	w.compareClocks(t.Context(), w.base, clockLimit)
	assert.Equal(t, clockPods*clockAsks, api.asking)
	w.roster.saw(on("two", somePod("a-1", "4", base.Add(time.Second), true)))
	w.base = w.base.Add(-10 * time.Second)
	first := w.beginOf(t.Context(), "a-1")
	assert.Equal(t, time.Hour, first.Sub(w.base).Round(time.Minute))
	api.ahead["a-1-4"] = 0
	assert.Equal(t, first, w.beginOf(t.Context(), "a-1"))
	rows := r.sofar().of(record.NodeClock)
	require.Len(t, rows, 1)
	assert.Equal(t, "two", rows[0].Source)
	assert.InDelta(t, 10, rows[0].To.Seconds(), 5)
	assert.Equal(t, first, w.base.Add(rows[0].Skew))
}
