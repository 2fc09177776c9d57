package sealed

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/certquake/certquake/workloads/keyring"
)

const (
	recordLenMax = 1024
	// lockWait is how long OpenStore waits for another process to close the file.
	lockWait = time.Second
	// gatherFor is how long a Put waits for others, to share one write to the disk.
	gatherFor = time.Millisecond
)

// Store keeps sealed texts in a file by the ids of records. It never sees a key or a plaintext. It
// is safe for concurrent use: readers wait for nobody, writers and batches of a migration for each
// other. Each method is one transaction, which is on disk when the method returns.
type Store struct{ db *bbolt.DB }

// Record is a sealed text and the id by which it is found, 1 to 1024 bytes of any kind.
type Record struct{ ID, Sealed string }

// OpenStore opens the file of a store, or makes it. It waits a second for a process that has it
// open. Close it after use.
func OpenStore(path string) (*Store, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockWait, FreelistType: bbolt.FreelistMapType,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		err = errHeld
	}
	if err != nil {
		return nil, storage(fmt.Errorf("open the store %s: %w", path, err))
	}
	db.MaxBatchDelay = gatherFor
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{recordsTable, indexTable, usesTable} {
			if _, bad := tx.CreateBucketIfNotExists([]byte(name)); bad != nil {
				return bad
			}
		}
		return nil
	})
	if err != nil {
		_ = db.Close()
		return nil, storage(fmt.Errorf("open the store %s: %w", path, err))
	}
	return &Store{db: db}, nil
}

// Close waits for transactions under way and closes the file.
func (s *Store) Close() error { return storage(s.db.Close()) }

// Put stores records in place of what is under their ids: all of them or, with an error, none. The
// problem of an *Error is BadRecord, Malformed, Storage, or Retired: then the ring by which the
// caller sealed is out of date, so read it again, seal anew and try again.
func (s *Store) Put(records ...Record) error {
	ids := make([]string, len(records))
	for i, r := range records {
		if r.ID == "" || len(r.ID) > recordLenMax {
			return &Error{Problem: BadRecord, Err: errRecord}
		}
		id, err := KeyID(r.Sealed)
		if err != nil {
			return err
		}
		ids[i] = id
	}
	return storage(s.db.Batch(func(tx *bbolt.Tx) error {
		t := tablesOf(tx)
		for i, r := range records {
			if err := t.put(r, ids[i]); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Get returns the sealed text of a record. The problem of an *Error is NotFound or Storage.
func (s *Store) Get(record string) (string, error) {
	var sealed string
	err := s.view(func(t tables) error {
		value := t.records.Get([]byte(record))
		if value == nil {
			return &Error{Problem: NotFound, Err: errNone}
		}
		sealed = string(value)
		return nil
	})
	return sealed, err
}

// Delete removes a record, if there is one of this id.
func (s *Store) Delete(record string) error {
	return storage(s.db.Batch(func(tx *bbolt.Tx) error {
		return tablesOf(tx).remove(record)
	}))
}

// Under returns the ids of records under a key, up to limit of them, in the order of their bytes
// and beginning behind the id after; "" is before all. It does not look at other records.
func (s *Store) Under(keyID, after string, limit int) ([]string, error) {
	if !keyring.ValidID(keyID) {
		return nil, nil
	}
	var records []string
	err := s.view(func(t tables) error {
		records = t.under(keyID, after, limit)
		return nil
	})
	return records, err
}

func (s *Store) view(do func(tables) error) error {
	return storage(s.db.View(func(tx *bbolt.Tx) error { return do(tablesOf(tx)) }))
}

func (s *Store) update(do func(tables) error) error {
	return storage(s.db.Update(func(tx *bbolt.Tx) error { return do(tablesOf(tx)) }))
}
