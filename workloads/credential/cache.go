package credential

import (
	"io/fs"
	"sync"
	"time"
)

// Cache holds a workload's credential and reads it again as its Policy says. Create it with
// NewCache. It is safe for concurrent use; a read is done by one caller while the others wait.
type Cache struct {
	fsys     fs.FS
	settings Settings
	policy   Policy

	mu       sync.Mutex
	state    State
	material *Material
	err      error // of the last read
}

// NewCache returns a cache over a volume. It reads nothing before it is asked.
func NewCache(fsys fs.FS, s Settings, p Policy) *Cache {
	return &Cache{fsys: fsys, settings: s, policy: p}
}

// Get answers a connection's demand at the instant now, reading first if that is due. As long as
// nothing is read it returns the same pointer. A read makes a new Material even of equal files.
//
// The error is the last read's *ReadError. Under KeepLastGood it is returned only while there is no
// good credential yet; otherwise until a read succeeds.
func (c *Cache) Get(now time.Duration) (*Material, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.decide(now, Seen{Demand: true})
	if c.material == nil {
		return nil, c.err
	}
	return c.material, nil
}

// Notify tells the cache that the watch fired at the instant now.
func (c *Cache) Notify(now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.decide(now, Seen{Changed: true})
}

// Tick tells the cache that time went on to the instant now without a demand.
func (c *Cache) Tick(now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.decide(now, Seen{})
}

// Last returns the credential in use and the error of the last read, without reading. Both are set
// when the last read failed and KeepLastGood serves an older one; both are nil before any read.
func (c *Cache) Last() (*Material, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.material, c.err
}

// State returns what the policy remembers, for Policy.Next and for tests.
func (c *Cache) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// decide reads if that is due. The caller holds the lock.
func (c *Cache) decide(now time.Duration, seen Seen) {
	if !c.policy.Due(c.state, now, seen) {
		return
	}
	material, err := Read(c.fsys, c.settings)
	c.state, c.err = c.state.After(now, seen, err), err
	if err == nil || !c.policy.KeepLastGood {
		c.material = material
	}
}
