package kube

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/peer"
)

// Of a-0's 60 dials every one is ok, failed, skipped, lost with a word on it, or gone with a
// process that was killed. A dial is never two of these.
func TestAccounting(t *testing.T) {
	t.Parallel()
	const s, ms = time.Second, time.Millisecond
	restart := scenarios.Action{ID: "restart[0]/restart", Mode: "kill"}
	next := func(r *rig, at time.Duration, due int64) {
		r.boot("a-0", "a-0/2")
		up := change(record.Up, "a-0", at)
		up.Due = []int64{due}
		r.tell("a-0", up)
	}
	type sums map[record.Outcome]int64
	tests := []struct {
		name  string
		play  func(r *rig)
		reach time.Duration
		want  sums
		lost  []record.Span
		down  []record.Span
	}{
		{"a killed process loses what it had not flushed", func(r *rig) {
			r.tell("a-0", dialled(8, 500*ms, 7500*ms))
			r.restarting("a-0", restart)
			r.killed("a-0", base.Add(10*s))
			r.tell("a-0", dialled(1, 8500*ms, 8500*ms)) // on its way when the process was killed
			next(r, 14*s, 14)
			r.tell("a-0", dialled(46, 14500*ms, 59500*ms))
			r.tell("a-0", change(record.End, "a-0", time.Minute))
		}, time.Minute, sums{record.OK: 55, record.Skipped: 4}, nil, []record.Span{{
			Kind: record.Down, Source: "a-0", From: 10 * s, To: 14 * s,
			Action: "restart[0]/restart", Detail: "restart (kill)",
		}}},
		{"a kill of a process that was down already", func(r *rig) {
			r.tell("a-0", dialled(8, 500*ms, 7500*ms))
			r.tell("a-0", change(record.Down, "a-0", 10*s))
			r.restarting("a-0", restart)
			r.killed("a-0", base.Add(12*s))
			next(r, 14*s, 14)
			r.tell("a-0", dialled(46, 14500*ms, 59500*ms))
		}, time.Minute, sums{record.OK: 54, record.Skipped: 4}, []record.Span{{
			Kind: record.Lost, Source: "a-0", From: 10 * s, To: 10 * s,
			Detail: "2 dials of a-0: their rows did not arrive",
		}}, []record.Span{{
			Kind: record.Down, Source: "a-0", From: 10 * s, To: 14 * s,
			Detail: "its process was told to end",
		}}},
		{"an end that nobody planned", func(r *rig) {
			r.tell("a-0", dialled(10, 500*ms, 9500*ms))
			next(r, 14*s, 14)
			r.tell("a-0", dialled(46, 14500*ms, 59500*ms))
		}, time.Minute, sums{record.OK: 56, record.Skipped: 4}, nil, []record.Span{{
			Kind: record.Down, Source: "a-0", From: 10500 * ms, To: 14 * s,
			Detail: "its process ended by itself",
		}}},
		{"an end that nobody planned, with rows not flushed", func(r *rig) {
			r.tell("a-0", dialled(9, 500*ms, 8500*ms))
			r.tell("a-0", change(record.Clock, "a-0", 9900*ms)) // it lived until here at least
			next(r, 14*s, 14)
			r.tell("a-0", dialled(46, 14500*ms, 59500*ms))
		}, time.Minute, sums{record.OK: 55, record.Skipped: 3}, []record.Span{{
			Kind: record.Lost, Source: "a-0", From: 10900 * ms, To: 10900 * ms,
			Detail: "2 dials of a-0: their rows did not arrive",
		}}, []record.Span{{
			Kind: record.Down, Source: "a-0", From: 10900 * ms, To: 14 * s,
			Detail: "its process ended by itself",
		}}},
		{"a gap in the log", func(r *rig) {
			r.tell("a-0", dialled(10, 500*ms, 9500*ms))
			r.skip("a-0")
			r.tell("a-0", dialled(45, 15500*ms, 59500*ms))
			r.tell("a-0", change(record.End, "a-0", time.Minute))
		}, time.Minute, sums{record.OK: 55}, []record.Span{
			{
				Kind: record.Lost, Source: "a-0", From: 9500 * ms, To: 59500 * ms,
				Detail: "the pod's log has a gap",
			},
			{
				Kind: record.Lost, Source: "a-0", From: time.Minute, To: time.Minute,
				Detail: "5 dials of a-0: their rows did not arrive",
			},
		}, nil},
		{"a log that was read again", func(r *rig) {
			first := r.tell("a-0", dialled(30, 500*ms, 29500*ms))
			second := r.tell("a-0", dialled(30, 30500*ms, 59500*ms))
			r.take("a-0", first, base.Add(time.Minute))
			r.take("a-0", second, base.Add(time.Minute))
		}, time.Minute, sums{record.OK: 60}, nil, nil},
		{"rows that come after the next process's", func(r *rig) {
			r.tell("a-0", dialled(10, 500*ms, 9500*ms))
			next(r, 14*s, 14)
			late := dialled(2, 10500*ms, 11500*ms)
			late.Boot, late.Seq = "a-0/1", 2
			r.take("a-0", late, base.Add(15*s))
			r.tell("a-0", dialled(46, 14500*ms, 59500*ms))
		}, time.Minute, sums{record.OK: 56, record.Skipped: 4}, nil, []record.Span{{
			Kind: record.Down, Source: "a-0", From: 10500 * ms, To: 14 * s,
			Detail: "its process ended by itself",
		}}},
		{"a pod that is down at the end", func(r *rig) {
			r.tell("a-0", dialled(10, 500*ms, 9500*ms))
			r.restarting("a-0", scenarios.Action{ID: "r", Mode: "pod"})
			r.tell("a-0", change(record.Down, "a-0", 10*s))
		}, time.Minute, sums{record.OK: 10, record.Skipped: 50}, nil, []record.Span{{
			Kind: record.Down, Source: "a-0", From: 10 * s, To: time.Minute,
			Action: "r", Detail: "restart (pod)",
		}}},
		{"a run that was interrupted", func(r *rig) {
			r.tell("a-0", dialled(10, 500*ms, 9500*ms))
		}, 30 * s, sums{record.OK: 10}, nil, nil},
		{"a run that was interrupted while a pod was down", func(r *rig) {
			r.tell("a-0", dialled(10, 500*ms, 9500*ms))
			r.tell("a-0", change(record.Down, "a-0", 10*s))
		}, 30 * s, sums{record.OK: 10, record.Skipped: 20}, nil, []record.Span{{
			Kind: record.Down, Source: "a-0", From: 10 * s, To: 30 * s,
			Detail: "its process was told to end",
		}}},
		{"a log that fell silent", func(r *rig) {
			r.tell("a-0", dialled(10, 500*ms, 9500*ms))
		}, time.Minute, sums{record.OK: 10}, []record.Span{{
			Kind: record.Lost, Source: "a-0", From: 9500 * ms, To: time.Minute,
			Detail: "50 dials of a-0: their rows did not arrive",
		}}, nil},
		{"a failure with certificates that were never seen", func(r *rig) {
			r.tell("a-0", dialled(59, 500*ms, 58500*ms))
			row := failed(59500*ms, record.UnknownAuthority, "")
			row.Span.Own = &record.Generation{Leaf: "0123456789abcdef"}
			r.tell("a-0", row)
			r.tell("a-0", change(record.End, "a-0", time.Minute))
		}, time.Minute, sums{record.OK: 59, record.UnknownAuthority: 1}, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			tt.play(r)
			out := r.finish(tt.reach)
			assert.Equal(t, tt.want, sums(balance(out)))
			assert.Equal(t, tt.lost, out.of(record.Lost))
			assert.Equal(t, tt.down, out.of(record.Down))
		})
	}
}

// What a process does not tell before it restarts is not told twice, however many streams it has.
func TestAccountingOfSeveralStreams(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(p *scenarios.Plan) {
		p.Streams = append(p.Streams,
			scenarios.Stream{Source: "a-0", To: []string{"nobody"}, Every: time.Second},
			scenarios.Stream{Source: "a-0", To: []string{"a"}, Every: 2 * time.Second, First: 1},
			scenarios.Stream{Source: "a-1", To: []string{"a"}, Every: time.Second})
	})
	require.Len(t, r.lanes["a-0"].streams, 2, "the one that dials nobody is none")
	r.tell("a-0", dialled(10, 500*time.Millisecond, 9500*time.Millisecond))
	r.tell("a-0", dialled(5, 0, 8*time.Second))
	r.tell("a-0", change(record.Down, "a-0", 10*time.Second))
	r.boot("a-0", "a-0/2")
	up := change(record.Up, "a-0", 20*time.Second)
	up.Due = []int64{20, 10}
	r.tell("a-0", up)
	r.tell("a-0", dialled(40, 20500*time.Millisecond, 59500*time.Millisecond))
	r.tell("a-0", dialled(19, 20*time.Second, 56*time.Second))
	out := r.finish(time.Minute)
	skips := []record.Span{
		{
			Kind: record.Handshake, Source: "a-0", Outcome: record.Skipped, Count: 5,
			From: 10 * time.Second, To: 18 * time.Second, Detail: "its process was told to end",
		},
		{
			Kind: record.Handshake, Source: "a-0", Outcome: record.Skipped, Count: 10,
			From: 10500 * time.Millisecond, To: 19500 * time.Millisecond,
			Detail: "its process was told to end",
		},
	}
	var got []record.Span
	for _, row := range out.of(record.Handshake) {
		if row.Outcome == record.Skipped {
			got = append(got, row)
		}
	}
	assert.Equal(t, skips, got)
	lost := out.of(record.Lost)
	require.Len(t, lost, 2)
	assert.Equal(t, "1 dials of a-0: their rows did not arrive", lost[0].Detail)
	assert.Equal(t, "60 dials of a-1: their rows did not arrive", lost[1].Detail)
}

// A record is complete when everybody has told all, and nothing told waits for anything.
func TestComplete(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	at := 59 * time.Second
	r.tell("a-0", failed(at, record.Other, "10.0.0.1:4711"))
	for _, pod := range []string{"a-0", "a-1"} {
		r.tell(pod, change(record.End, pod, time.Minute))
	}
	assert.False(t, r.complete(), "a-2 runs")
	r.tell("a-2", change(record.Down, "a-2", at))
	assert.False(t, r.complete(), "a-1's word is on its way")
	r.tell("a-1", answered(at, record.UnknownAuthority, "10.0.0.1:4711"))
	assert.True(t, r.complete())
	r.tell("a-0", reloads("a-0", at, at, &record.Generation{Leaf: "0123456789abcdef"}))
	assert.False(t, r.complete(), "a certificate has no name yet")
}

func TestSequence(t *testing.T) {
	t.Parallel()
	var s sequence
	var out rows
	span := func(from, to time.Duration) record.Span { return record.Span{From: from, To: to} }
	s.put(span(1, 5), span(2, 3), span(3, 3), span(0, 9))
	require.NoError(t, s.release(5, &out))
	assert.Equal(t, rows{span(2, 3), span(3, 3), span(1, 5)}, out,
		"by their ends, else as they came")
	s.put(span(4, 4))
	require.NoError(t, s.release(8, &out))
	assert.Equal(t, span(4, 4), out[3], "late, but not lost")
	require.NoError(t, s.release(8, &out))
	assert.Len(t, out, 4)

	broken := errors.New("disk full")
	require.ErrorIs(t, s.release(9, brokenSink{broken}), broken)
	require.NoError(t, s.release(9, &out))
	assert.Equal(t, span(0, 9), out[4])
}

type brokenSink struct{ err error }

func (b brokenSink) Write(record.Span) error { return b.err }

func TestLane(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	l := r.lanes["a-0"]
	assert.Nil(t, l.held(time.Second), "before it loaded anything")
	one, two := &record.Generation{Leaf: "leaf/1"}, &record.Generation{Leaf: "leaf/2"}
	l.holdings = []holding{{10, one}, {20, two}}
	assert.Equal(t, one, l.held(5), "what it had when it began to tell")
	assert.Equal(t, one, l.held(19))
	assert.Equal(t, two, l.held(20))

	isNew, missing := l.fresh(&peer.Row{Boot: "x", Seq: 3})
	assert.True(t, isNew)
	assert.Equal(t, uint64(2), missing)
	l.boot = "x"
	isNew, _ = l.fresh(&peer.Row{Boot: "x", Seq: 3})
	assert.False(t, isNew)
	isNew, missing = l.fresh(&peer.Row{Boot: "x", Seq: 4})
	assert.True(t, isNew)
	assert.Zero(t, missing)

	assert.Equal(t, int64(0), l.due(500*time.Millisecond))
	assert.Equal(t, int64(1), l.due(500*time.Millisecond+1))
	assert.Equal(t, int64(60), l.due(time.Minute))
}
