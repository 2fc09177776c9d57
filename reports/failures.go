package reports

import (
	"cmp"
	"slices"
	"time"

	"github.com/certquake/certquake/harness/record"
)

// failure is a row of equal failures in a row between one ordered pair.
type failure struct {
	stretch
	count        int64
	source, peer int
	own, other   int // generations
	outcome      record.Outcome
	side         record.Side
	association  bool
	call         bool // with a token
	access       bool // of a record at rest, by the source alone
}

func (a *Analysis) addFailure(span *record.Span) {
	if span.Kind == record.Drop || !span.Outcome.Failed() {
		return
	}
	a.failures = append(a.failures, failure{
		stretch:     stretch{span.From, span.To},
		count:       max(span.Count, 1),
		source:      a.pods.index(span.Source),
		peer:        a.pods.index(span.Peer),
		own:         a.generations.indexOf(span.Own),
		other:       a.generations.indexOf(span.Other),
		outcome:     span.Outcome,
		side:        span.Side,
		association: span.Kind == record.Associate,
		call:        span.Kind == record.Request,
		access:      span.Kind == record.Read || span.Kind == record.Seal,
	})
}

// tally is the failures that a check is about: how many, the first and the last.
type tally struct {
	count    int64
	calls    int64 // how many of them were calls
	accesses int64 // how many were of records at rest
	first    *failure
	last     *failure
}

// traffic returns what the failures were at.
func (t tally) traffic() traffic {
	return traffic{
		connects: t.count > t.calls+t.accesses, calls: t.calls > 0, accesses: t.accesses > 0,
	}
}

// tally gathers the failures that match.
func (a *Analysis) tally(matches func(*failure) bool) tally {
	var t tally
	for i := range a.failures {
		f := &a.failures[i]
		if !matches(f) {
			continue
		}
		t.count += f.count
		if f.call {
			t.calls += f.count
		}
		if f.access {
			t.accesses += f.count
		}
		if t.first == nil || f.from < t.first.from {
			t.first = f
		}
		if t.last == nil || f.to > t.last.to {
			t.last = f
		}
	}
	return t
}

// breakage is a stretch in which an ordered pair was broken: from its first failed attempt for a
// credential reason until something changed that. This is when either end took other content into
// use or ended, or else the pair's next attempt, which either succeeded or begins a breakage of its
// own that is then merged with this one.
//
//	attempts of the pair   ok    ✗    ✗    ✗    ok
//	uses of either end        |             |
//	broken                       [----------)
type breakage struct {
	stretch
	source, peer int
	outcome      record.Outcome // of the first failure
}

// breakages returns when each pair was broken, merged, in order of pair and time.
func (a *Analysis) breakages() []breakage {
	var all []breakage
	for i := range a.failures {
		f := &a.failures[i]
		if f.outcome.Credential() {
			until := max(a.mended(f, a.nextAttempt(f)), f.from+1)
			all = append(all, breakage{stretch{f.from, until}, f.source, f.peer, f.outcome})
		}
	}
	slices.SortStableFunc(all, func(a, b breakage) int {
		return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.peer, b.peer),
			cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	merged := all[:0]
	for _, next := range all {
		if n := len(merged); n > 0 && merged[n-1].joins(next) {
			merged[n-1].to = max(merged[n-1].to, next.to)
			continue
		}
		merged = append(merged, next)
	}
	return merged
}

func (b breakage) joins(next breakage) bool {
	return b.source == next.source && b.peer == next.peer && next.from <= b.to
}

// nextAttempt returns how long after a failure the same pair is due to try again.
func (a *Analysis) nextAttempt(f *failure) time.Duration {
	if f.association {
		return a.dials.retry(f.source)
	}
	if f.access {
		return a.dials.every(f.source, false)
	}
	return a.dials.pairEvery(f.source, f.peer)
}

// mended returns when a failure is known to be over: a grace after its last attempt, unless one of
// its ends changed before, or the record ended.
func (a *Analysis) mended(f *failure, grace time.Duration) time.Duration {
	until := min(f.to+grace, a.reached)
	for _, pod := range []int{f.source, f.peer} {
		if pod >= 0 {
			until = min(until, a.changed(pod, f.to))
		}
	}
	return max(until, f.to)
}

// outages returns when at least one ordered pair was failing for a credential reason, merged and in
// order. A failure lasts until its source's next attempt at any peer: with one failing pair among
// many that is how long the source went on failing, not how long it takes to come round again. Two
// failures of one pair in a row are one outage, in however many rows they were recorded.
func (a *Analysis) outages() []stretch {
	var failing []*failure
	for i := range a.failures {
		if a.failures[i].outcome.Credential() {
			failing = append(failing, &a.failures[i])
		}
	}
	slices.SortStableFunc(failing, func(a, b *failure) int {
		return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.peer, b.peer),
			cmp.Compare(a.from, b.from))
	})
	var all []stretch
	for i, f := range failing {
		until := a.mended(f, a.dials.every(f.source, f.association))
		if i+1 < len(failing) && a.inARow(f, failing[i+1]) {
			until = max(until, failing[i+1].from)
		}
		all = append(all, stretch{f.from, until})
	}
	return union(all)
}

// inARow reports whether no attempt of the pair lies between its two failures.
func (a *Analysis) inARow(f, next *failure) bool {
	return f.source == next.source && f.peer == next.peer && f.association == next.association &&
		next.from-f.to <= a.nextAttempt(f)
}

// union merges stretches that overlap or touch.
func union(all []stretch) []stretch {
	slices.SortFunc(all, func(a, b stretch) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	merged := all[:0]
	for _, next := range all {
		if n := len(merged); n > 0 && next.from <= merged[n-1].to {
			merged[n-1].to = max(merged[n-1].to, next.to)
			continue
		}
		merged = append(merged, next)
	}
	return merged
}

// worst returns the first moment at which the most ordered pairs were broken, and how many.
func (a *Analysis) worst() (time.Duration, int) { return a.peak.at, a.peak.pairs }

// peak is a moment and the number of pairs broken then.
type peak struct {
	at    time.Duration
	pairs int
}

// peakOf finds the first moment at which the most pairs were broken.
func peakOf(broken []breakage) peak {
	type edge struct {
		at    time.Duration
		delta int
	}
	edges := make([]edge, 0, 2*len(broken))
	for _, b := range broken {
		edges = append(edges, edge{b.from, 1}, edge{b.to, -1})
	}
	slices.SortFunc(edges, func(a, b edge) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.delta, b.delta))
	})
	var highest peak
	now := 0
	for _, e := range edges {
		if now += e.delta; now > highest.pairs {
			highest = peak{e.at, now}
		}
	}
	return highest
}

// brokenAt returns the breakages that hold at the offset.
func (a *Analysis) brokenAt(at time.Duration) []breakage {
	var held []breakage
	for _, b := range a.broken {
		if b.from <= at && at < b.to {
			held = append(held, b)
		}
	}
	return held
}
