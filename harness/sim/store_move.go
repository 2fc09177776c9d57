package sim

import (
	"slices"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/rotation"
	"github.com/certquake/certquake/workloads/sealed"
)

// moveTime is what a migration takes for one record, of 45,000 in a second, as measured for package
// sealed on one shared 2-core virtual machine, each batch to the disk.
const moveTime = time.Second / 45_000

// batchTime is for a batch, which is moved as a whole or not at all.
const batchTime = sealed.DefaultBatch * moveTime

// move is a migration of the records of every store of a Secret from one key to another, as the
// operator asks for it.
type move struct {
	rotation.Migration // how it ended, as package rotation is told

	rotated *rotated
	begun   time.Duration
	stores  []*store
	over    map[*store]bool // those that have ended, well or not
}

// pass is what one process does in a move.
type pass struct {
	began time.Duration
	since time.Duration // batches before it are done
	moved int64
}

// steer sees to it that the move runs that a decision asks for, and that no other one does.
func (r *rotated) steer(d rotation.Decision) error {
	m := r.move
	asked := d.Action == rotation.Migrate
	if m != nil && (!asked && d.Next.Phase == rotation.Migrating ||
		asked && m.From == d.From && m.To == d.To && m.Attempt == d.Attempt) {
		return nil
	}
	if m != nil {
		for _, s := range m.stores {
			if err := s.abandon(); err != nil {
				return err
			}
		}
		r.move = nil
	}
	if asked {
		return r.begin(d)
	}
	return nil
}

// begin has every store of the Secret's consumers moved.
func (r *rotated) begin(d rotation.Decision) error {
	w := r.operator.world
	m := &move{
		Migration: rotation.Migration{From: d.From, To: d.To, Attempt: d.Attempt},
		rotated:   r, begun: w.now, over: map[*store]bool{},
	}
	r.move = m
	for _, p := range w.pods {
		if p.store != nil && p.mount.secret == r.secret {
			m.stores = append(m.stores, p.store)
		}
	}
	for _, s := range m.stores {
		if s.pod.up {
			if err := s.advance(w.now); err != nil {
				return err
			}
		}
		s.move = m
		s.resume()
		s.pod.demandChanged() // who waits for keys asks for them
	}
	if len(m.stores) == 0 {
		m.Done = true
		r.schedule(w.now + reconcileTime)
	}
	return nil
}

// resume begins or goes on to move records, if the process has both keys and the new one is
// primary. Otherwise the move waits for it.
func (s *store) resume() {
	m, p := s.move, s.pod
	if m == nil || m.over[s] || !p.up {
		return
	}
	s.seq++
	held := p.class.content.ring
	if _, primary := held.signer(); p.class.broken != "" || primary != m.To ||
		!slices.Contains(held.ids, m.From) {
		s.pass = nil
		return
	}
	w := p.node.world
	if s.pass == nil {
		s.pass = &pass{began: w.now, since: w.now}
	}
	var left int64
	for _, k := range s.under(m.From) {
		if !s.retired[m.To] { // or the first batch fails
			left += k.records
		}
	}
	seq := s.seq
	w.at(s.pass.since+time.Duration(left)*moveTime, func() error {
		if s.seq != seq {
			return nil
		}
		return s.finish()
	})
}

// under returns the keys of an id, of which a store meets more than one only if an id was used
// again.
func (s *store) under(id string) []*storedKey {
	var keys []*storedKey
	for _, k := range s.keys {
		if k.id == id {
			keys = append(keys, k)
		}
	}
	return keys
}

// settle does the whole batches that the pass has come to by now. What a writer did before counts
// first: it took records from the pass.
func (s *store) settle() {
	if s.pass == nil {
		return
	}
	batches := int64((s.pod.node.world.now - s.pass.since) / batchTime)
	s.pass.since += time.Duration(batches) * batchTime
	s.shift(batches * sealed.DefaultBatch)
}

// shift moves up to n records from under the old key, those of the lowest numbers first. Those that
// cannot be opened, or sealed anew, stay.
func (s *store) shift(n int64) {
	if s.primary == nil || s.retired[s.primary.id] {
		return
	}
	var left int64
	from := map[int32]bool{}
	for _, k := range s.under(s.move.From) {
		if k.opens == record.OK && k.records > 0 {
			from[k.number] = true
			left += k.records
		}
	}
	left = min(left, n)
	s.pass.moved += left
	for i := 0; left > 0; i++ {
		if from[s.records[i]] {
			s.put(i, s.primary)
			left--
		}
	}
}

// finish ends the pass: all is moved, which is proved, or what is left cannot be.
func (s *store) finish() error {
	w, m := s.pod.node.world, s.move
	if err := s.advance(w.now); err != nil {
		return err
	}
	s.shift(int64(len(s.records)))
	row := record.Span{
		Kind: record.Migrate, From: s.pass.began, To: w.now, Source: s.pod.plan.Name,
		Count: s.pass.moved, Own: s.own, Outcome: record.OK, Detail: m.From + " > " + m.To,
	}
	for _, k := range s.under(m.From) {
		switch {
		case k.records == 0:
		case k.opens != record.OK:
			row.Outcome = k.opens
		default:
			row.Outcome = record.NoPrimary // the new key is retired itself
		}
	}
	s.pass = nil
	m.over[s] = true
	m.Failed = m.Failed || row.Outcome.Failed()
	if !row.Outcome.Failed() {
		s.retired[m.From] = true
	}
	if m.Done = !m.Failed && len(m.over) == len(m.stores); m.Done || m.Failed {
		m.rotated.schedule(w.now + reconcileTime)
	}
	return w.emit(row)
}

// leaveKeys is the process about to have other keys than now.
func (s *store) leaveKeys() error {
	if err := s.advance(s.pod.node.world.now); err != nil {
		return err
	}
	s.settle()
	return nil
}

// interrupt ends the pass with the process: what it has moved is moved, and the next goes on.
func (s *store) interrupt() {
	s.settle()
	s.pass = nil
	s.seq++
}

// abandon ends the store's part in a move that is not asked for any more.
func (s *store) abandon() error {
	if s.pod.up {
		if err := s.advance(s.pod.node.world.now); err != nil {
			return err
		}
	}
	s.interrupt()
	s.move = nil
	return nil
}
