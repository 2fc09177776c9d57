package kube

import (
	"cmp"
	"slices"
	"time"

	"github.com/certquake/certquake/harness/record"
)

// sequence puts rows that come from many places into the order in which they ended. It holds each
// back for a while; one that comes later still is written when it comes.
type sequence struct {
	held []record.Span
}

func (s *sequence) put(rows ...record.Span) { s.held = append(s.held, rows...) }

// release writes the rows that ended up to the offset.
func (s *sequence) release(until time.Duration, sink record.Sink) error {
	slices.SortStableFunc(s.held, func(a, b record.Span) int { return cmp.Compare(a.To, b.To) })
	n := 0
	for ; n < len(s.held) && s.held[n].To <= until; n++ {
		if err := sink.Write(s.held[n]); err != nil {
			s.held = s.held[n:]
			return err
		}
	}
	s.held = slices.Delete(s.held, 0, n)
	return nil
}
