package sim

import (
	"slices"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// store is the data at rest of one pod: under which key each record is. It outlives the processes
// of the pod. Attempts at it are worked out lazily, in their order, up to each change of what
// decides how they end: the pod's keys and its process.
type store struct {
	pod     *pod
	scans   []*scan
	records []int32 // of each record, its key in keys
	keys    []*storedKey
	retired map[string]bool // ids of keys that it takes no more texts under

	content *content           // that the verdicts in keys are by; nil when there are none
	broken  bool               // the process has no key ring
	own     *record.Generation // what it has
	primary *storedKey         // writes seal under it; nil when they cannot

	move *move // of its records, as the operator asks for it
	pass *pass // of the process in it
	seq  int   // invalidates scheduled ends of passes
	mute bool  // what is done now is never told
}

// storedKey is a key that a store has, or had, records under.
type storedKey struct {
	number  int32
	id      string
	key     *ringKey
	named   *record.Generation // shared by the rows that name it
	records int64
	opens   record.Outcome // how a record under it is read, by the pod's keys
}

func newStore(p *pod) *store {
	return &store{
		pod: p, records: make([]int32, p.group.store.Records), retired: map[string]bool{},
	}
}

// add takes over one of the plan's streams.
func (s *store) add(planned scenarios.Stream) {
	s.scans = append(s.scans, &scan{plan: planned, record: planned.First % len(s.records)})
}

// begin seals all records under the primary key that there is at offset 0.
func (s *store) begin() {
	key, id := s.pod.class.content.ring.signer()
	s.keyOf(key, id).records = int64(len(s.records))
}

// keyOf returns the key of a record; those that were met last are looked at first.
func (s *store) keyOf(key *ringKey, id string) *storedKey {
	for _, k := range slices.Backward(s.keys) {
		if k.key == key && k.id == id {
			return k
		}
	}
	named := keyNames(s.pod.group.plan.Secret, []string{id})
	k := &storedKey{
		number: int32(len(s.keys)), id: id, key: key, //nolint:gosec // far fewer than 2^31
		named: &record.Generation{Leaf: named},
	}
	s.keys = append(s.keys, k)
	return k
}

// look has verdicts on every key by what the pod has now.
func (s *store) look() error {
	class := s.pod.class
	if s.content == class.content && s.broken == (class.broken != "") {
		return nil
	}
	for _, c := range s.scans {
		if err := s.flush(c, record.Outcome.Failed); err != nil {
			return err
		}
	}
	s.content, s.broken, s.own, s.primary = class.content, class.broken != "", class.own, nil
	oracle := s.pod.node.world.oracle
	if !s.broken {
		key, id := s.content.ring.signer()
		outcome, err := oracle.seals(s.content.ring, s.pod.group)
		if err != nil {
			return err
		}
		if outcome == record.OK {
			s.primary = s.keyOf(key, id)
		}
	}
	for _, k := range s.keys {
		k.opens = record.NoKeys
		if s.broken {
			continue
		}
		var err error
		if k.opens, err = oracle.opens(s.content.ring, s.pod.group, k); err != nil {
			return err
		}
	}
	return nil
}

// put seals a record under the key.
func (s *store) put(i int, k *storedKey) {
	s.keys[s.records[i]].records--
	s.records[i] = k.number
	k.records++
}

// leave is the process about to end. One that is killed takes along the rows that it had not
// flushed, but what it did is done.
func (s *store) leave(killed bool) error {
	now := s.pod.node.world.now
	if killed {
		if err := s.advance(s.pod.lastFlush()); err != nil {
			return err
		}
	}
	s.mute = killed
	err := s.advance(now)
	s.mute = false
	if err != nil {
		return err
	}
	s.interrupt()
	return s.flushAll()
}

// arrive records what was skipped while there was no process.
func (s *store) arrive() error {
	w := s.pod.node.world
	for _, c := range s.scans {
		r := c.until(w.now)
		if r.n <= 0 {
			continue
		}
		c.done(r.n, len(s.records))
		err := w.emit(record.Span{
			Kind: c.kind(), From: r.first, To: r.last, Count: r.n, Source: s.pod.plan.Name,
			Outcome: record.Skipped, Detail: s.pod.why,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// nextDemand returns when the process asks for its keys next, from t on: for an attempt, or because
// a migration waits for the keys to come.
func (s *store) nextDemand(t time.Duration) time.Duration {
	first := forever
	for _, c := range s.scans {
		first = min(first, next(c.plan.Phase, c.plan.Every, t))
	}
	if s.move != nil && s.pass == nil && !s.move.over[s] {
		first = min(first, max(t, s.move.begun))
	}
	return first
}

// end records everything still open, and what is in the store at the end of the run.
func (s *store) end() error {
	if !s.pod.up {
		if err := s.arrive(); err != nil {
			return err
		}
		held, err := s.next()
		if err != nil {
			return err
		}
		return s.inventory(held)
	}
	if err := s.advance(s.pod.node.world.now); err != nil {
		return err
	}
	if err := s.flushAll(); err != nil {
		return err
	}
	if s.broken {
		return s.inventory(nil)
	}
	return s.inventory(s.content.ring)
}

// next returns the keys that the next process of the pod would have, nil if none.
func (s *store) next() (*ring, error) {
	held := s.pod.volume.content
	if s.pod.gone {
		held = s.pod.mount.secret.content
	}
	if held == nil {
		return nil, nil //nolint:nilnil // there are none
	}
	problem, err := s.pod.node.world.oracle.load(held, s.pod.group)
	if err != nil || problem != "" {
		return nil, err
	}
	return held.ring, nil
}

// inventory records how many records are under which key, and whether they can be read with a ring,
// of which nil is none.
func (s *store) inventory(held *ring) error {
	w := s.pod.node.world
	for _, k := range s.keys {
		if k.records == 0 {
			continue
		}
		outcome := record.UnknownKid
		if held != nil {
			var err error
			if outcome, err = w.oracle.opens(held, s.pod.group, k); err != nil {
				return err
			}
		}
		err := w.emit(record.Span{
			Kind: record.Stored, From: w.now, To: w.now, Count: k.records,
			Source: s.pod.plan.Name, Outcome: outcome, Own: k.named,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
