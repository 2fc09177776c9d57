package sim

import (
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// scan is the reads or writes of one stream, of one record after the other.
type scan struct {
	plan   scenarios.Stream
	next   int64         // the first attempt that is not done
	record int           // that it is of
	rows   []record.Span // open ones, each of attempts that end alike
}

// due is when the scan's next attempt is.
func (c *scan) due() time.Duration { return c.plan.Phase + time.Duration(c.next)*c.plan.Every }

// until returns the scan's attempts that are not done and due before the offset.
func (c *scan) until(to time.Duration) run {
	n := due(c.plan.Phase, c.plan.Every, to) - c.next
	return run{n, c.due(), c.due() + time.Duration(n-1)*c.plan.Every}
}

// done goes on to a later attempt.
func (c *scan) done(n int64, records int) {
	c.next += n
	c.record = int((int64(c.record) + n) % int64(records))
}

// kind is of the scan's rows.
func (c *scan) kind() record.Kind {
	if c.plan.Op == scenarios.Writes {
		return record.Seal
	}
	return record.Read
}

// advance works out the attempts before the offset, which the process made with what it has. Reads
// that may end in different ways are worked out between one write and the next.
func (s *store) advance(to time.Duration) error {
	if err := s.look(); err != nil {
		return err
	}
	for {
		before, write := to, -1
		if _, all := s.alike(); !all && s.changes() {
			before, write = s.nextWrite(to)
		}
		for i, c := range s.scans {
			if c.plan.Op != scenarios.Reads {
				continue
			}
			until := before
			if i < write {
				until++ // of two at the same instant, the first of the plan is first
			}
			s.read(c, until)
		}
		if write >= 0 {
			s.seal(s.scans[write], 1)
			continue
		}
		for _, c := range s.scans {
			if c.plan.Op == scenarios.Writes {
				s.seal(c, c.until(to).n)
			}
		}
		return nil
	}
}

// alike returns how all reads end as long as the pod has what it has, if they all end alike.
func (s *store) alike() (record.Outcome, bool) {
	if s.broken {
		return record.NoKeys, true
	}
	for _, k := range s.keys {
		if k.opens != record.OK && k.records > 0 {
			return "", false
		}
	}
	return record.OK, true
}

// seals reports whether writes can be sealed.
func (s *store) seals() bool { return s.primary != nil && !s.retired[s.primary.id] }

// changes reports whether a write changes under which key a record is.
func (s *store) changes() bool {
	return s.seals() && s.primary.records < int64(len(s.records))
}

// nextWrite returns when the next write is due and of which scan, or the limit and -1.
func (s *store) nextWrite(limit time.Duration) (at time.Duration, which int) {
	at, which = limit, -1
	for i, c := range s.scans {
		if c.plan.Op == scenarios.Writes && c.due() < at {
			at, which = c.due(), i
		}
	}
	return at, which
}

// read does the scan's reads before the offset, in a store that nobody writes to until then. What
// lies between the first and the last time over all records is many times the same.
func (s *store) read(c *scan, before time.Duration) {
	r := c.until(before)
	if outcome, all := s.alike(); all {
		s.tell(c, r, outcome, nil)
		c.done(r.n, len(s.records))
		return
	}
	records := int64(len(s.records))
	if whole := r.n/records - 2; whole > 0 {
		s.readEach(c, records+r.n%records)
		for _, k := range s.keys {
			again := run{n: whole * k.records, first: c.due(), last: c.due()}
			s.tell(c, again, k.opens, k.named)
		}
		c.done(whole*records, len(s.records))
		r.n = records
	}
	s.readEach(c, r.n)
}

// readEach does the scan's next reads one by one.
func (s *store) readEach(c *scan, n int64) {
	for ; n > 0; n-- {
		k := s.keys[s.records[c.record]]
		s.tell(c, run{1, c.due(), c.due()}, k.opens, k.named)
		c.done(1, len(s.records))
	}
}

// seal does the scan's next n attempts, which are writes.
func (s *store) seal(c *scan, n int64) {
	if n <= 0 {
		return
	}
	r := run{n, c.due(), c.due() + time.Duration(n-1)*c.plan.Every}
	if !s.seals() {
		s.tell(c, r, record.NoPrimary, nil)
		c.done(n, len(s.records))
		return
	}
	left := min(n, int64(len(s.records)))
	for i := c.record; left > 0 && s.changes(); left-- {
		s.put(i, s.primary)
		if i++; i == len(s.records) {
			i = 0
		}
	}
	s.tell(c, r, record.OK, nil)
	c.done(n, len(s.records))
}

// tell adds attempts to the scan's open row of those that end as they do. A row goes on over those
// of others, as one of successes does everywhere: reads come back to the same records.
func (s *store) tell(c *scan, r run, outcome record.Outcome, other *record.Generation) {
	if s.mute || r.n <= 0 {
		return
	}
	if outcome == record.OK {
		other = nil
	}
	for i := range c.rows {
		if row := &c.rows[i]; row.Outcome == outcome && row.Other == other {
			row.Count += r.n
			row.To = r.last
			return
		}
	}
	row := record.Span{
		Kind: c.kind(), From: r.first, To: r.last, Count: r.n, Source: s.pod.plan.Name,
		Outcome: outcome, Other: other,
	}
	if outcome.Failed() {
		row.Own = s.own
	}
	if outcome == record.NoPrimary && s.primary != nil {
		row.Detail = s.primary.id + " is retired: the store takes no more under it"
	}
	c.rows = append(c.rows, row)
}

// flush records the scan's open rows of some outcomes.
func (s *store) flush(c *scan, which func(record.Outcome) bool) error {
	kept := c.rows[:0]
	for _, row := range c.rows {
		if !which(row.Outcome) {
			kept = append(kept, row)
			continue
		}
		if err := s.pod.node.world.emit(row); err != nil {
			return err
		}
	}
	c.rows = kept
	return nil
}

// flushAll records every open row.
func (s *store) flushAll() error {
	for _, c := range s.scans {
		err := s.flush(c, func(record.Outcome) bool { return true })
		if err != nil {
			return err
		}
	}
	return nil
}
