package sealed

import (
	"fmt"

	"github.com/certquake/certquake/workloads/keyring"
)

// Use is what a store knows about a key. It is exact, and costs the same however many records there
// are.
type Use struct {
	KeyID   string `json:"key_id"`
	Records uint64 `json:"records"` // under it now
	// Seals counts the texts under it that the store ever took. Hold it against MessagesMax: it is
	// less than what was sealed by what was never stored, or stored elsewhere.
	Seals   uint64 `json:"seals"`
	Retired bool   `json:"retired"` // the store takes no more under it
}

// Use returns the use of a key; of one that the store does not know, it is zero but for the id.
func (s *Store) Use(keyID string) (Use, error) {
	var use Use
	err := s.view(func(t tables) (err error) {
		use, err = t.use(keyID)
		return err
	})
	return use, err
}

// Uses returns the uses of all keys that the store knows, sorted by their ids.
func (s *Store) Uses() ([]Use, error) {
	var uses []Use
	err := s.view(func(t tables) (err error) {
		uses, err = t.all()
		return err
	})
	return uses, err
}

// Lost returns how many records no key of a ring opens, since theirs is not in it. With the ring as
// it would be without a key, it is what dropping that key would lose.
func (s *Store) Lost(ring *keyring.Ring) (uint64, error) {
	uses, err := s.Uses()
	var lost uint64
	for _, use := range uses {
		if _, ok := ring.Key(use.KeyID); !ok {
			lost += use.Records
		}
	}
	return lost, err
}

// Retire makes the store refuse texts under a key for good, in the transaction in which it finds
// that no record is under it. The problem of an *Error is InUse, Malformed for what is not an id,
// or Storage. Retiring a key again changes nothing.
func (s *Store) Retire(keyID string) error {
	if !keyring.ValidID(keyID) {
		return &Error{Problem: Malformed, Err: errID}
	}
	return s.update(func(t tables) error {
		use, err := t.retire(keyID)
		if err == nil && !use.Retired {
			err = inUse(use)
		}
		return err
	})
}

// retire retires a key if no record is under it, and returns its use.
func (t tables) retire(keyID string) (Use, error) {
	use, err := t.use(keyID)
	if err != nil || use.Retired || use.Records > 0 {
		return use, err
	}
	use.Retired = true
	return use, t.setUse(use)
}

func (t tables) all() ([]Use, error) {
	var uses []Use
	err := t.uses.ForEach(func(key, value []byte) error {
		use, err := decodeUse(string(key), value)
		uses = append(uses, use)
		return err
	})
	return uses, err
}

func inUse(use Use) error {
	err := fmt.Errorf("%d records are left under it, so it must not be dropped", use.Records)
	return &Error{Problem: InUse, KeyID: use.KeyID, Err: err}
}
