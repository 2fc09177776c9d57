package token

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Fetcher returns the keys that a JWKS has now. It bounds its time itself.
type Fetcher func(ctx context.Context) (*Set, error)

// Cache is the keys of a JWKS, fetched as its Policy says. Create it with NewCache. It is safe for
// concurrent use, and takes no lock while nothing is to be fetched.
type Cache struct {
	fetch  Fetcher
	policy Policy

	status atomic.Pointer[Status]
	mu     sync.Mutex
	flight chan struct{} // closed when the fetch under way ends; nil if none is
}

// Status is how the fetches of a Cache went. It does not change.
type Status struct {
	Set   *Set  // of the last good fetch; nil before one
	Err   error // of the last fetch; nil if it did not fail
	State State
}

// NewCache returns a cache that fetches nothing before it is asked. The error is the policy's.
func NewCache(p Policy, fetch Fetcher) (*Cache, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	c := &Cache{policy: p, fetch: fetch}
	c.status.Store(&Status{})
	return c, nil
}

// Set returns the keys to use at the instant now, after fetching them if a demand for the id kid
// makes that due. At any time one caller fetches at most, to the end of the fetch, whatever becomes
// of its context: others wait for the same. They are those who cannot do with the set in use.
//
// When a fetch fails, the last good set is returned without an error, and Status tells why. The
// error is the last fetch's while there is no set to use, or that of the context.
func (c *Cache) Set(ctx context.Context, now time.Time, kid string) (*Set, error) {
	s := c.status.Load()
	demand := s.demand(kid)
	if c.policy.Due(s.State, now, demand) {
		wait := demand == DemandUnknown || !c.policy.Usable(s.State, now)
		var err error
		if s, err = c.refetch(ctx, now, s, wait); err != nil {
			return nil, err
		}
	}
	if c.policy.Usable(s.State, now) {
		return s.Set, nil
	}
	if s.Err == nil {
		return nil, &SetError{Problem: Unfetched, Err: errNoSet}
	}
	return nil, s.Err
}

// Tick fetches if that is due at the instant now without a demand. Call it at Next.
func (c *Cache) Tick(ctx context.Context, now time.Time) {
	s := c.status.Load()
	if c.policy.Due(s.State, now, NoDemand) {
		_, _ = c.refetch(ctx, now, s, false) // Status tells how it went
	}
}

// Next returns when to call Tick next; it reports false if never.
func (c *Cache) Next() (time.Time, bool) { return c.policy.Next(c.status.Load().State, NoDemand) }

// Status returns how the fetches so far went. It does not fetch.
func (c *Cache) Status() Status { return *c.status.Load() }

// demand tells what a token of the id kid is to the cache.
func (s *Status) demand(kid string) Demand {
	if s.Set != nil && s.Set.Has(kid) {
		return DemandKnown
	}
	return DemandUnknown
}

// refetch fetches, unless another caller did since the status old was found due, or does: then it
// waits, if the caller cannot do without. The error is the context's.
func (c *Cache) refetch(
	ctx context.Context, now time.Time, old *Status, wait bool,
) (*Status, error) {
	c.mu.Lock()
	if s := c.status.Load(); s != old {
		c.mu.Unlock()
		return s, nil
	}
	if flight := c.flight; flight != nil {
		c.mu.Unlock()
		if !wait {
			return old, nil
		}
		select {
		case <-flight:
			return c.status.Load(), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	flight := make(chan struct{})
	c.flight = flight
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.flight = nil
		c.mu.Unlock()
		close(flight)
	}()
	set, err := c.fetch(context.WithoutCancel(ctx))
	s := old.after(set, err, now)
	c.status.Store(s)
	return s, nil
}

// after returns the status after a fetch that began at the instant now.
func (s *Status) after(set *Set, err error, now time.Time) *Status {
	if err == nil && set == nil {
		err = &SetError{Problem: Unfetched, Err: errNoSet}
	}
	next := &Status{Set: s.Set, Err: err, State: s.State.After(now, err)}
	if err == nil {
		next.Set = set
	}
	return next
}
