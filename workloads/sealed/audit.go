package sealed

import (
	"bytes"
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"github.com/certquake/certquake/workloads/keyring"
)

// auditStride is how many records an audit looks at before it asks whether it is to end.
const auditStride = 1000

// Audit is what a look at every record of a store found.
type Audit struct {
	Records uint64            `json:"records"`
	Under   map[string]uint64 `json:"under"` // the records by the key's id in their text
	// Unreadable counts the records that the ring does not open by why not: UnknownKey,
	// BadCiphertext, BadKey or Malformed.
	Unreadable map[Problem]uint64 `json:"unreadable"`
	// Wrong counts where index and counters differ from the records, and records under a retired
	// key. It is 0 unless the file was damaged.
	Wrong uint64 `json:"wrong"`
}

// Audit opens every record with the keys of a ring, and counts all that the store keeps counts of,
// at one instant. It takes long, with little memory. Readers and writers go on meanwhile, but the
// file grows by what writers replace until it ends.
func (s *Store) Audit(ctx context.Context, ring *keyring.Ring) (Audit, error) {
	a := Audit{Under: map[string]uint64{}, Unreadable: map[Problem]uint64{}}
	err := s.view(func(t tables) error {
		if err := a.scan(ctx, t, ring); err != nil {
			return err
		}
		return a.compare(ctx, t)
	})
	return a, err
}

// scan looks at the records, and whether each is in the index.
func (a *Audit) scan(ctx context.Context, t tables, ring *keyring.Ring) error {
	return each(ctx, t.records, func(record, value []byte) {
		a.Records++
		keyID := keyOf(value)
		a.Under[keyID]++
		_, err := Open(ring, string(value))
		if problem, ok := errors.AsType[*Error](err); ok {
			a.Unreadable[problem.Problem]++
		}
		want := indexKey(keyID, string(record))
		if key, _ := t.index.Cursor().Seek(want); !bytes.Equal(key, want) {
			a.Wrong++
		}
	})
}

// compare looks at the counters, and whether the index has more than the records.
func (a *Audit) compare(ctx context.Context, t tables) error {
	var indexed uint64
	if err := each(ctx, t.index, func(_, _ []byte) { indexed++ }); err != nil {
		return err
	}
	if indexed != a.Records {
		a.Wrong++
	}
	uses, err := t.all()
	if err != nil {
		return err
	}
	var counted uint64
	for _, use := range uses {
		counted += use.Records
		if use.Records != a.Under[use.KeyID] || use.Retired && use.Records > 0 {
			a.Wrong++
		}
	}
	if counted != a.Records {
		a.Wrong++
	}
	return nil
}

func each(ctx context.Context, b *bbolt.Bucket, do func(key, value []byte)) error {
	n := 0
	return b.ForEach(func(key, value []byte) error {
		do(key, value)
		if n++; n%auditStride == 0 {
			return ctx.Err()
		}
		return nil
	})
}
