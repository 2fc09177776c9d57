package token

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/certquake/certquake/workloads/keyring"
)

// RingKeys are the keys of a mounted key ring. Create them with NewRingKeys. They are safe for
// concurrent use.
type RingKeys struct {
	algorithm Algorithm
	ring      func() (*keyring.Ring, error)
	last      atomic.Pointer[ringSet]
}

type ringSet struct {
	ring *keyring.Ring
	set  *Set
	err  error
}

// NewRingKeys returns keys over a source of rings, such as the Ring method of a keyring.Keyring
// that was told to read the VerifyingPart of the algorithm. The source is asked at each token. As
// long as it returns the same pointer, no key is made ready anew.
func NewRingKeys(a Algorithm, ring func() (*keyring.Ring, error)) *RingKeys {
	return &RingKeys{algorithm: a, ring: ring}
}

// Set returns all keys of the ring. The error is that of the source, or a *SetError if a key does
// not fit the algorithm; give Algorithm.Check to the keyring to keep the last good ring instead.
func (r *RingKeys) Set(context.Context, time.Time, string) (*Set, error) {
	ring, err := r.ring()
	if err != nil {
		return nil, err
	}
	last := r.last.Load()
	if last == nil || last.ring != ring {
		set, err := SetOf(ring, r.algorithm)
		last = &ringSet{ring: ring, set: set, err: err}
		r.last.Store(last)
	}
	return last.set, last.err
}
