package sim

import (
	"time"

	"github.com/certquake/certquake/harness/record"
)

// begin opens the spans of every stream and association at offset 0.
func (t *traffic) begin() error {
	for _, a := range t.associations {
		if err := a.attempt(); err != nil {
			return err
		}
	}
	calm := true
	for _, c := range t.world.classes.order {
		quiet, err := t.quiet(c)
		if err != nil {
			return err
		}
		calm = calm && quiet
	}
	if calm {
		return nil
	}
	for _, s := range t.streams {
		if err := t.updateAll(s); err != nil {
			return err
		}
	}
	return nil
}

// quiet reports whether every handshake between the class and those it meets succeeds, and over a
// network that is as it should be.
func (t *traffic) quiet(c *class) (bool, error) {
	for _, other := range t.world.classes.order {
		if c.group.dials[other.group] {
			v, err := t.world.verdict(c, other)
			if err != nil || v.apart() {
				return false, err
			}
		}
		if c.group.dialledBy[other.group] {
			v, err := t.world.verdict(other, c)
			if err != nil || v.apart() {
				return false, err
			}
		}
	}
	return true, nil
}

// moved takes note that the pod is in another class than old, or went down or came up.
func (t *traffic) moved(p *pod, old *class) error {
	if !t.world.open {
		return nil
	}
	if p.up && old == nil {
		if err := t.arriving(p); err != nil {
			return err
		}
	} else if p.up && p.troubles == 0 {
		if quiet, err := t.quiet(p.class); quiet || err != nil {
			return err // successes before, successes after: the span runs on
		}
	}
	return t.updatePod(p)
}

// updatePod looks again at every pair that the pod is an end of.
func (t *traffic) updatePod(p *pod) error {
	for _, s := range p.out {
		if err := t.updateAll(s); err != nil {
			return err
		}
	}
	for _, s := range p.dialledBy {
		if err := t.update(s, p); err != nil {
			return err
		}
	}
	for _, a := range p.associations {
		if err := a.update(); err != nil {
			return err
		}
	}
	return nil
}

// revalidate looks again at every pair of pods of two classes.
func (t *traffic) revalidate(from, to *class) error {
	for _, p := range from.pods {
		for _, s := range p.out {
			if err := t.updateSome(s, to.pods); err != nil {
				return err
			}
		}
		for _, a := range p.associations {
			if a.source != p || a.target.class != to {
				continue
			}
			if err := a.update(); err != nil {
				return err
			}
		}
	}
	return nil
}

// updateSome looks again at those of the pods that the stream dials.
func (t *traffic) updateSome(s *stream, pods []*pod) error {
	for _, target := range pods {
		if _, dialled := s.slot[target]; !dialled {
			continue
		}
		if err := t.update(s, target); err != nil {
			return err
		}
	}
	return nil
}

func (t *traffic) updateAll(s *stream) error {
	for _, target := range s.targets {
		if err := t.update(s, target); err != nil {
			return err
		}
	}
	return nil
}

// pair returns how a handshake between two pods, of which the source is up, ends now. Where there
// is no process a node answers so; a node that is off, or cut off, does not answer.
func (t *traffic) pair(source, target *pod) (verdict, error) {
	switch {
	case target.up:
		return t.world.verdict(source.class, target.class)
	case target.node.off, between(source.trouble, target.trouble).cut:
		return verdict{outcome: record.Timeout}, nil
	}
	return verdict{outcome: record.Unreachable, side: record.Client}, nil
}

// update brings the open strand of one pair in line with how its handshakes end now.
func (t *traffic) update(s *stream, target *pod) error {
	if !s.source.up {
		return nil
	}
	v, err := t.pair(s.source, target)
	if err != nil {
		return err
	}
	open := s.open[target]
	if open != nil && open.same(v, s.source, target) {
		return nil
	}
	if (open == nil) == v.apart() && t.cuts(s, v) {
		if err := t.cut(s, t.world.now); err != nil {
			return err
		}
	}
	if open != nil {
		if err := t.close(s, open, t.world.now); err != nil {
			return err
		}
	}
	if v.apart() {
		s.part(target, v, t.world.now)
	}
	return nil
}

// cuts reports whether a pair that parts from the others or rejoins them ends the span of
// successes: it does after a while, and at once when it is the source's last good one or the first
// again.
func (t *traffic) cuts(s *stream, v verdict) bool {
	apart := len(s.strands)
	if v.apart() {
		apart++
	}
	return apart == len(s.targets) || t.world.now-s.since >= t.successRow()
}

// same reports whether the strand goes on: the same end rejects, for the same reason, the same
// generations, over the same network.
func (f *strand) same(v verdict, source, target *pod) bool {
	return f.verdict.outcome == v.outcome && f.verdict.side == v.side &&
		f.verdict.link() == v.link() &&
		f.near == generationOf(source) && f.far == generationOf(target)
}

func generationOf(p *pod) *record.Generation {
	if p.class == nil {
		return nil
	}
	return p.class.own
}

// part opens a strand.
func (s *stream) part(target *pod, v verdict, now time.Duration) {
	f := &strand{
		target: target, index: len(s.strands), base: s.base(target),
		from: now, counted: now, verdict: v,
		near: generationOf(s.source), far: generationOf(target),
	}
	s.strands = append(s.strands, f)
	s.open[target] = f
	s.source.troubles++
	target.troubles++
}

// close ends a strand and records its attempts before end, if there were any.
func (t *traffic) close(s *stream, f *strand, end time.Duration) error {
	s.count(f, end)
	last := s.strands[len(s.strands)-1]
	s.strands[f.index], last.index = last, f.index
	s.strands = s.strands[:len(s.strands)-1]
	delete(s.open, f.target)
	s.source.troubles--
	f.target.troubles--
	return t.tell(s, f, end)
}

// count adds the strand's attempts up to end to those of the open span.
func (s *stream) count(f *strand, end time.Duration) {
	n, _, _ := within(f.base, s.period(), f.counted, end)
	s.apart += n
	f.counted = max(f.counted, end)
}

// cut ends the open span of successes at end and begins the next.
func (t *traffic) cut(s *stream, end time.Duration) error {
	for _, f := range s.strands {
		s.count(f, end)
	}
	n, first, last := within(s.plan.Phase, s.plan.Every, s.since, end)
	n -= s.apart
	s.since, s.apart = end, 0
	if n <= 0 {
		return nil
	}
	return t.world.emit(record.Span{
		Kind: s.kind(), From: first, To: last, Count: n,
		Source: s.source.plan.Name, Outcome: record.OK,
		Latency: t.latency.histogram(s.source.class.handshakeTime(), 0, n),
	})
}

// leaving closes what the pod has open as a source before it goes down. A killed process takes the
// rows it had not flushed with it.
func (t *traffic) leaving(p *pod, killed bool) error {
	if p.store != nil {
		if err := p.store.leave(killed); err != nil {
			return err
		}
	}
	end := t.world.now
	if killed {
		end = p.lastFlush()
	}
	for _, s := range p.out {
		if err := t.finish(s, end); err != nil {
			return err
		}
		s.since = t.world.now
	}
	return nil
}

// finish closes everything open of a stream whose source is up.
func (t *traffic) finish(s *stream, end time.Duration) error {
	if err := t.cut(s, end); err != nil {
		return err
	}
	for len(s.strands) > 0 {
		if err := t.close(s, s.strands[0], end); err != nil {
			return err
		}
	}
	s.apart = 0
	return nil
}

// arriving records what the pod skipped while it was down.
func (t *traffic) arriving(p *pod) error {
	if p.store != nil {
		if err := p.store.arrive(); err != nil {
			return err
		}
	}
	for _, s := range p.out {
		if err := t.skipped(s); err != nil {
			return err
		}
	}
	return nil
}

func (t *traffic) skipped(s *stream) error {
	n, first, last := within(s.plan.Phase, s.plan.Every, s.since, t.world.now)
	s.since = t.world.now
	if n == 0 {
		return nil
	}
	return t.world.emit(record.Span{
		Kind: s.kind(), From: first, To: last, Count: n,
		Source: s.source.plan.Name, Outcome: record.Skipped, Detail: s.source.why,
	})
}

// end closes everything at the end of the run.
func (t *traffic) end() error {
	for _, s := range t.streams {
		var err error
		if s.source.up {
			err = t.finish(s, t.world.now)
		} else {
			err = t.skipped(s)
		}
		if err != nil {
			return err
		}
	}
	for _, a := range t.associations {
		if err := a.close(); err != nil {
			return err
		}
	}
	return nil
}
