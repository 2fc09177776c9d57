package sealed

import (
	"context"
	"io"

	"github.com/certquake/certquake/workloads/keyring"
)

const (
	// DefaultBatch is how many records a migration seals anew in one transaction.
	DefaultBatch = 1000
	// batchBytes ends a batch early, so large records need no more memory.
	batchBytes = 4 << 20
)

// Options are those of a migration. The zero value is fine.
type Options struct {
	// Batch is how many records are sealed anew in one transaction: DefaultBatch if not positive.
	// Writers wait for a transaction, and each one costs a write to the disk.
	Batch int
	// After is called after each batch with the report so far, outside of the transaction. It may
	// wait, to leave the disk to others, and an error ends the migration. Nil does nothing.
	After func(ctx context.Context, so Report) error
	// Unreadable is called for each record that cannot be opened, outside of the transaction, with
	// why. Nil does nothing.
	Unreadable func(record string, err error)
	// Random is where the IVs are read from. Nil means crypto/rand.
	Random io.Reader
}

// Report is what a migration did.
type Report struct {
	From       string `json:"from"`
	To         string `json:"to"`         // the primary key of the last batch
	Batches    int    `json:"batches"`    // the transactions
	Migrated   uint64 `json:"migrated"`   // records sealed anew
	Unreadable uint64 `json:"unreadable"` // records that cannot be opened; they are as they were
	Left       uint64 `json:"left"`       // records under From when it ended
	Retired    bool   `json:"retired"`    // the proof: none is left, and none can come
}

// Migrate seals anew under the primary key every record that is under the key from, and then
// retires from: in the transaction that finds no record left. So without an error, nothing is under
// from and nothing will be, and the key may be dropped.
//
// The ring is asked for before each batch: give it a Keyring's Ring. A batch is one transaction
// that reads records and writes them, so it cannot undo what a writer does meanwhile, and a process
// that is killed leaves whole batches behind. What is done is no longer under from: a new call goes
// on where the last one ended, and one after the end does nothing. Its memory is a batch's, and the
// database's list of free pages: 2 MB for a million records.
//
// A record that cannot be opened stays as it is and is counted. The problem of an *Error is InUse
// if there are such records; UnknownKey if the key itself is missing, all that is left being
// unreadable; Primary if from is the primary key; Retired if the primary key is; BadKey or NoIV if
// nothing can be sealed; Storage. Errors of the ring, After and ctx are returned as they are. The
// report is good in any case.
//
// There is no way to migrate from all keys but the primary: by an old ring that would take records
// back from a newer key, and retire it before its time.
func Migrate(ctx context.Context, s *Store, ring func() (*keyring.Ring, error), from string,
	o Options,
) (Report, error) {
	if o.Batch <= 0 {
		o.Batch = DefaultBatch
	}
	m := migration{store: s, options: o, report: Report{From: from}}
	use, err := s.Use(from)
	m.report.Left, m.report.Retired = use.Records, use.Retired
	for err == nil && !m.report.Retired {
		if err = ctx.Err(); err == nil {
			err = m.step(ctx, ring)
		}
	}
	return m.report, err
}

type migration struct {
	store   *Store
	options Options
	report  Report
	after   string // the last record that could not be opened
}

// failure is a record that could not be opened.
type failure struct {
	record string
	err    error
}

// batch is what one transaction did.
type batch struct {
	migrated   uint64
	unreadable []failure
	use        Use  // of the key to migrate from, at its end
	last       bool // there was no record behind those of this batch
}

// step does one batch.
func (m *migration) step(ctx context.Context, ringOf func() (*keyring.Ring, error)) error {
	ring, err := ringOf()
	if err != nil {
		return err
	}
	if err = m.possible(ring); err != nil {
		return err
	}
	m.report.To = ring.Primary().ID
	var b batch
	err = m.store.update(func(t tables) (err error) {
		b, err = m.inside(t, ring)
		return err
	})
	if err != nil {
		return err
	}
	m.add(b)
	for _, f := range b.unreadable {
		if m.options.Unreadable != nil {
			m.options.Unreadable(f.record, f.err)
		}
	}
	if m.options.After != nil {
		if err = m.options.After(ctx, m.report); err != nil {
			return err
		}
	}
	if b.last && !b.use.Retired {
		return inUse(b.use)
	}
	return nil
}

// possible reports why no record can be migrated by a ring.
func (m *migration) possible(ring *keyring.Ring) error {
	from := m.report.From
	if ring.Primary().ID == from {
		return &Error{Problem: Primary, KeyID: from, Err: errTarget}
	}
	if _, ok := ring.Key(from); ok {
		return nil
	}
	use, err := m.store.Use(from)
	if err != nil {
		return err
	}
	m.report.Left, m.report.Unreadable = use.Records, use.Records
	return &Error{Problem: UnknownKey, KeyID: from, Err: errNoKey}
}

func (m *migration) add(b batch) {
	m.report.Batches++
	m.report.Migrated += b.migrated
	m.report.Unreadable += uint64(len(b.unreadable))
	m.report.Left, m.report.Retired = b.use.Records, b.use.Retired
	if n := len(b.unreadable); n > 0 {
		m.after = b.unreadable[n-1].record
	}
}

// inside is what happens inside the transaction. Records that were sealed anew are gone from the
// index, so the next batch is always the first records, but for those that could not be opened.
func (m *migration) inside(t tables, ring *keyring.Ring) (batch, error) {
	records := t.under(m.report.From, m.after, m.options.Batch)
	b := batch{last: len(records) < m.options.Batch}
	size := 0
	for i, record := range records {
		sealed := string(t.records.Get([]byte(record)))
		plaintext, err := Open(ring, sealed)
		if err != nil {
			b.unreadable = append(b.unreadable, failure{record, err})
		} else {
			if err = m.put(t, ring.Primary(), record, plaintext); err != nil {
				return b, err
			}
			b.migrated++
		}
		if size += len(sealed); size >= batchBytes && i+1 < len(records) {
			b.last = false
			break
		}
	}
	use, err := t.retire(m.report.From)
	b.use = use
	return b, err
}

func (m *migration) put(t tables, key keyring.Key, record string, plaintext []byte) error {
	sealed, err := Seal(key, plaintext, m.options.Random)
	if err != nil {
		return err
	}
	return t.put(Record{ID: record, Sealed: sealed}, key.ID)
}
