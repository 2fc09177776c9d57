package peer

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/handshake"
)

// credentials is what the process holds: the cache over the mount, the context made of what the
// cache returns, and the Reload rows. All questions to the cache go through one lock, as they would
// wait for each other in the cache anyway; so a row is told of the read that was.
type credentials struct {
	config  *Config
	clock   *clock
	rows    *rows
	metrics *metrics
	files   *reading
	volume  *volume

	mu       sync.Mutex
	cache    *credential.Cache
	material *credential.Material // that context was made of
	context  *handshake.Context
	holds    record.Generation    // what the process holds, good or not
	shown    *credential.Material // by the metrics
	told     told

	// used names the last good credential, of this process or the one before it. It is written
	// under the lock; who only reads it need not wait for a read of files.
	used atomic.Pointer[record.Generation]
}

// told is what the last Reload row said.
type told struct {
	own     record.Generation
	problem credential.Problem
	version string // of the volume
	ever    bool
}

// held is an answer to a demand: a context, or why there is none, and the name of what is held.
type held struct {
	context *handshake.Context
	own     *record.Generation
	err     error
}

// newCredentials reads nothing yet. Waits of ReadGap end early when ctx is done.
func newCredentials(
	ctx context.Context, c *Config, clk *clock, r *rows, m *metrics, v *volume,
) *credentials {
	files := &reading{
		FS: os.DirFS(c.Mount), names: fileNames(c.Read.Files), gap: c.ReadGap, ctx: ctx,
		began: v.reads,
	}
	return &credentials{
		config: c, clock: clk, rows: r, metrics: m, volume: v, files: files,
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

// resume takes note of a credential in use, such as by the process before this one.
func (c *credentials) resume(used record.Generation) { c.used.Store(&used) }

// lastUsed names the last good credential; it is zero if there was none.
func (c *credentials) lastUsed() record.Generation {
	if used := c.used.Load(); used != nil {
		return *used
	}
	return record.Generation{}
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
		if !c.clock.sleep(ctx, next-c.config.CacheAge) || ctx.Err() != nil {
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
	question(c.clock.offset() + c.config.CacheAge)
	c.took(false)
}

// took follows up on a question: if the cache read, it tells of files or an outcome that are not
// those told last. Other files may have the same content to this reader, such as a bundle of which
// it trusts the first CA alone. The caller holds the lock.
func (c *credentials) took(begin bool) {
	if !c.files.opened {
		return
	}
	defer c.files.forget() // keys are among what was seen
	m, err := c.cache.Last()
	seen, now := c.seen(m, err), told{ever: true, version: c.files.version}
	now.own, now.problem = seen.own, problem(err)
	outcome := record.OK
	if err != nil {
		outcome = record.NoCredential
	}
	c.metrics.reloads.WithLabelValues(string(outcome)).Inc()
	if err == nil || m == nil {
		c.holds = seen.own // else the last good one is kept
	}
	c.measure(m)
	if now == c.told {
		return
	}
	news := now.own != c.lastUsed() || c.told.ever && now.version != c.told.version
	c.told = now
	if err == nil && !c.files.mixed {
		c.resume(now.own)
	}
	row := record.Span{
		Kind: record.Reload, Source: c.config.Pod, Outcome: outcome, Detail: string(now.problem),
		Own: &now.own,
	}
	if !begin {
		row.To = c.clock.offset()
		row.Projected = c.projected(row.To, news)
		row.From = row.Projected
	}
	if seen.leaf != nil {
		row.NotBefore = c.clock.at(seen.leaf.NotBefore)
		row.NotAfter = c.clock.at(seen.leaf.NotAfter)
	}
	c.rows.tell(Row{Span: row})
}

// seen names what the read saw: of a failed one what it could, or else what is known from before.
func (c *credentials) seen(m *credential.Material, err error) glimpse {
	if err == nil {
		return glimpse{own: generation(m), leaf: m.Leaf}
	}
	g := look(c.files.rest(), c.config.Read)
	if g.own == (record.Generation{}) {
		g.own = c.told.own
	}
	return g
}

// projected returns when the kubelet swapped in what was read. A mixture of two versions never was,
// and what was in use already, as before a restart, is no news: their rows have no extent.
func (c *credentials) projected(now time.Duration, news bool) time.Duration {
	if !news || c.files.mixed || c.files.since.IsZero() {
		return now
	}
	return min(c.clock.at(c.files.since), now)
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
