package peer

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/handshake"
	"github.com/certquake/certquake/workloads/internal/process"
)

// credentials is what the process holds: the cache over the mount, the context made of what the
// cache returns, and the Reload rows. All questions to the cache go through one lock, as they would
// wait for each other in the cache anyway; so a row is told of the read that was.
type credentials struct {
	config  *Config
	kit     *process.Kit
	metrics *metrics
	files   *reading

	mu       sync.Mutex
	cache    *credential.Cache
	material *credential.Material // that context was made of
	context  *handshake.Context
	holds    record.Generation    // what the process holds, good or not
	shown    *credential.Material // by the metrics
}

// held is an answer to a demand: a context, or why there is none, and the name of what is held.
type held struct {
	context *handshake.Context
	own     *record.Generation
	err     error
}

// newCredentials reads nothing yet. Waits of ReadGap end early when ctx is done.
func newCredentials(
	ctx context.Context, c *Config, kit *process.Kit, m *metrics,
) *credentials {
	files := &reading{
		FS: os.DirFS(c.Mount), names: fileNames(c.Read.Files), gap: c.ReadGap, ctx: ctx,
		began: kit.Volume.Reads,
	}
	kit.Volume.Names = projected(c.Read.Files)
	return &credentials{
		config: c, kit: kit, metrics: m, files: files,
		cache: credential.NewCache(files, c.Read, c.Policy),
	}
}

// begin loads the credential as one that a process has had for CacheAge at offset 0.
func (c *credentials) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files.forget()
	_, _ = c.cache.Get(0) // its error is in the row and comes again on demand
	c.took(true)
}

// demand is a connection asking for a context. It blocks while the files are read.
func (c *credentials) demand() held {
	c.mu.Lock()
	defer c.mu.Unlock()
	var m *credential.Material
	var err error
	c.ask(func(now time.Duration) { m, err = c.cache.Get(now) })
	if err == nil && m != c.material {
		c.material = m
		c.context, err = handshake.NewContext(m, c.config.TLS)
	}
	own := c.holds
	if err != nil {
		c.material = nil
		return held{own: &own, err: err}
	}
	return held{context: c.context, own: &own}
}

// notify is the watch on the mount firing.
func (c *credentials) notify() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ask(c.cache.Notify)
}

// poll reads when the policy says so, until ctx is done. It returns at once when the policy reads
// on demand alone.
func (c *credentials) poll(ctx context.Context) {
	for c.config.Policy.Kind == credential.Poll {
		next, _ := c.config.Policy.Next(c.cache.State())
		if !c.kit.Clock.Sleep(ctx, next-c.config.CacheAge) || ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		c.ask(c.cache.Tick)
		c.mu.Unlock()
	}
}

// ask has the cache decide now, and tells of the read if it made one. The cache's clock is ahead of
// the offsets by CacheAge, since a policy counts from its own 0 on. The caller holds the lock.
func (c *credentials) ask(question func(now time.Duration)) {
	c.files.forget()
	question(c.kit.Clock.Offset() + c.config.CacheAge)
	c.took(false)
}

// took follows up on a question: if the cache read, it tells of that. The caller holds the lock.
func (c *credentials) took(begin bool) {
	if !c.files.opened {
		return
	}
	defer c.files.forget() // keys are among what was seen
	m, err := c.cache.Last()
	seen := c.seen(m, err)
	outcome := record.OK
	if err != nil {
		outcome = record.NoCredential
	}
	c.metrics.reloads.WithLabelValues(string(outcome)).Inc()
	if err == nil || m == nil {
		c.holds = seen.own // else the last good one is kept
	}
	c.measure(m)
	read := process.Reading{
		Own: seen.own, Failed: err != nil, Problem: string(problem(err)),
		Version: c.files.version, Since: c.files.since, Mixed: c.files.mixed,
	}
	if seen.leaf != nil {
		read.NotBefore = c.kit.Clock.At(seen.leaf.NotBefore)
		read.NotAfter = c.kit.Clock.At(seen.leaf.NotAfter)
	}
	c.kit.Reloads.Tell(read, begin)
}

// seen names what the read saw: of a failed one what it could, or else what is known from before.
func (c *credentials) seen(m *credential.Material, err error) glimpse {
	if err == nil {
		return glimpse{own: generation(m), leaf: m.Leaf}
	}
	g := look(c.files.rest(), c.config.Read)
	if g.own == (record.Generation{}) {
		g.own = c.kit.Reloads.Own()
	}
	return g
}

// measure shows what is in use.
func (c *credentials) measure(m *credential.Material) {
	if m == nil || m == c.shown {
		return
	}
	if c.shown == nil || !c.shown.Leaf.Equal(m.Leaf) {
		c.metrics.inUse(m.Leaf)
		c.metrics.leafTurn.Inc()
	}
	if c.shown == nil || trust(c.shown.CAs) != trust(m.CAs) {
		c.metrics.trustTurn.Inc()
	}
	c.shown = m
}

// problem returns the word for why a read failed, "" when it did not.
func problem(err error) credential.Problem {
	if e, ok := errors.AsType[*credential.ReadError](err); ok {
		return e.Problem
	}
	return ""
}
