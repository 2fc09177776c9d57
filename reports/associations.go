package reports

import (
	"time"

	"github.com/certquake/certquake/harness/record"
)

// associations follows the long-lived associations, one state for each ordered pair.
type associations struct {
	states       map[[2]int]*association
	order        []*association // as first seen
	attempts     int64
	failed       int64
	skipped      int64
	established  int64 // distinct associations that stood at some time
	dropped      int64
	again        int64 // re-established
	lost         time.Duration
	pooled       map[int]bool // sources of rows for all of their associations at once
	endings      []ending
	inconsistent int64 // rows that cannot follow the rows before them
}

// association is one long-lived association.
type association struct {
	source, peer int

	up    bool
	stood bool // it was up at some time
	since time.Duration
}

// ending is an established association that ended.
type ending struct {
	stretch
	source, peer int
}

func newAssociations() associations {
	return associations{states: map[[2]int]*association{}, pooled: map[int]bool{}}
}

func (s *associations) add(span *record.Span, source, peer int) {
	if span.Kind == record.Associate {
		s.attempts += max(span.Count, 1)
	}
	if peer < 0 { // a row for all of a source's associations at once
		if span.Outcome == record.OK {
			s.established += max(span.Count, 1)
			s.pooled[source] = true
		}
		return
	}
	pair := [2]int{source, peer}
	state, known := s.states[pair]
	if !known {
		state = &association{
			source: source, peer: peer, up: span.Kind == record.Drop, since: span.From,
		}
		state.stood = state.up
		s.states[pair] = state
		s.order = append(s.order, state)
		if state.up {
			s.established++
		}
	}
	switch {
	case span.Kind == record.Drop:
		s.drop(state, stretch{span.From, span.To})
	case span.Outcome == record.OK:
		s.establish(state, span.To)
	case span.Outcome == record.Skipped:
		s.skipped += max(span.Count, 1)
	default:
		s.failed += max(span.Count, 1)
	}
}

func (s *associations) drop(state *association, at stretch) {
	if !state.up {
		s.inconsistent++
		return
	}
	s.dropped++
	state.up, state.since = false, at.to
	s.endings = append(s.endings, ending{at, state.source, state.peer})
}

func (s *associations) establish(state *association, at time.Duration) {
	switch {
	case state.up:
		s.inconsistent++
		return
	case state.stood:
		s.again++
		s.lost += at - state.since
	default:
		s.established++
	}
	state.up, state.stood, state.since = true, true, at
}

// stood reports whether the association stood at some time, as far as the record tells.
func (s *associations) stood(source, peer int) bool {
	state := s.states[[2]int{source, peer}]
	return state != nil && state.stood || s.pooled[source]
}

// open returns how many associations that once stood are down at the end, and the time all
// associations together were down after they had ended, up to the end.
func (s *associations) open(end time.Duration) (int64, time.Duration) {
	var open int64
	lost := s.lost
	for _, state := range s.order {
		if state.stood && !state.up {
			open++
			lost += max(end-state.since, 0)
		}
	}
	return open, lost
}
