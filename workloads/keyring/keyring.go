package keyring

import (
	"io/fs"
	"sync"
	"sync/atomic"
	"time"
)

// Keyring holds the ring of a folder and reads it again when it is asked for and the last read is a
// TTL old. Create it with New. It is safe for concurrent use.
type Keyring struct {
	read     func() (*Ring, error)
	settings Settings

	status atomic.Pointer[Status]
	mu     sync.Mutex // held by the one caller that reads
}

// Status is how the reads of a Keyring went. It does not change.
type Status struct {
	// Ring is in use; nil before a read succeeded.
	Ring *Ring
	// Read is when the last read began, whether it failed or not.
	Read time.Time
	// Good is when the last read began that did not fail.
	Good time.Time
	// Err is the *ReadError of the last read; nil if it did not fail.
	Err error
	// Due is the earliest instant at which a demand reads: a TTL after Read, or Retry after a read
	// that failed. It is the zero time before the first demand, which always reads, and when Done.
	Due time.Time
	// Done says that no demand reads any more: the TTL is Never and a read succeeded.
	Done bool
	// Reads and Failures count the reads and those of them that failed.
	Reads, Failures int
}

// New returns a keyring over a folder. It reads nothing before it is asked.
func New(fsys fs.FS, s Settings) *Keyring {
	s = s.orDefault()
	k := &Keyring{settings: s, read: func() (*Ring, error) { return Read(fsys, s) }}
	k.status.Store(&Status{})
	return k
}

// Ring returns the keys to use now, after reading them if that is due. One caller reads; the others
// are given the ring in use, or wait if there is none yet. It is the same pointer as long as a read
// finds the same files in the same version, so what was made of a ring may be kept beside it.
//
// When a read fails, the last good ring is returned without an error, and Status tells why. The
// error, a *ReadError, is returned only while there is no good ring.
func (k *Keyring) Ring() (*Ring, error) {
	s := k.status.Load()
	if now := k.settings.Now(); s.due(now) {
		s = k.reread(s, now)
	}
	if s.Ring == nil {
		return nil, s.Err
	}
	return s.Ring, nil
}

// Status returns how the reads so far went. It does not read.
func (k *Keyring) Status() Status { return *k.status.Load() }

// due reports whether a demand at the instant now reads.
func (s *Status) due(now time.Time) bool {
	return s.Reads == 0 || !s.Done && !now.Before(s.Due)
}

// reread reads unless another caller does or did since the status old was found overdue.
func (k *Keyring) reread(old *Status, now time.Time) *Status {
	if !k.mu.TryLock() {
		if s := k.status.Load(); s.Ring != nil {
			return s
		}
		k.mu.Lock()
	}
	defer k.mu.Unlock()
	if s := k.status.Load(); s != old {
		return s
	}
	ring, err := k.read()
	if err == nil && old.Ring != nil {
		err = ring.follows(old.Ring)
	}
	s := old.after(ring, err, now, k.settings)
	k.status.Store(s)
	return s
}

// after returns the status after a read that began at the instant now.
func (s *Status) after(ring *Ring, err error, now time.Time, set Settings) *Status {
	next := *s
	next.Read, next.Err = now, err
	next.Reads++
	if err != nil {
		next.Failures++
		next.Due = now.Add(set.Retry)
		return &next
	}
	if s.Ring == nil || !ring.equal(s.Ring) {
		next.Ring = ring
	}
	next.Good, next.Due = now, now.Add(set.TTL)
	if set.TTL < 0 {
		next.Due, next.Done = time.Time{}, true
	}
	return &next
}
