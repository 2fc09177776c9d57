package sim

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/credential"
)

// projection is a content in a pod's volume.
type projection struct {
	content *content
	at      time.Duration
	unread  bool // by the pod's process
}

// pod is one pod: its volume as the kubelet keeps it and its process as the workload core runs it.
type pod struct {
	plan  scenarios.Pod
	index int
	node  *node
	mount *mount
	group *group

	up      bool          // its process runs
	gone    bool          // the pod itself is deleted, or not yet mounted
	since   time.Duration // of being down
	why     string        // it went down
	restart string        // the action that will be proved by its coming up
	epoch   int           // counts processes, and invalidates their events

	resyncs     resyncs
	syncPending bool
	syncSeq     int // invalidates scheduled syncs

	token   heldToken  // of an issuer
	signSeq int        // invalidates scheduled signings
	keys    *fetched   // of a verifier that mounts none
	store   *store     // of data at rest; nil without one
	dice    *rand.Rand // of whom it asks for them

	volume   projection
	previous projection // the one before, for reads that straddle a swap

	state      credential.State // of the reload policy; its At is advanced lazily
	reloadSeq  int              // invalidates scheduled reloads
	straddled  bool             // a read that straddles a swap is under way
	used       *content         // the generation in use, for telling first uses from restarts
	skew       time.Duration
	trouble    *trouble // of its network
	class      *class   // nil while down
	classIndex int

	troubles     int // open strands of which it is an end
	out          []*stream
	dialledBy    []*stream
	in           inbound
	associations []*association // of which it is an end
}

// errRead stands for a failed read in the reload policy's state.
var errRead = errors.New("credential not readable")

// begin sets the pod up at offset 0 as one that has been running for long.
func (p *pod) begin() error {
	w := p.node.world
	p.up = true
	every := p.node.plan.SyncFrequency
	p.resyncs = resyncs{
		due: firstDue(p.plan.SyncDue, every), every: every, ticks: &p.node.ticks,
		dice: scenarios.Rand(w.plan.Seed, "kubelet/"+p.plan.Name+"/resync"),
	}
	p.volume = projection{content: p.mount.secret.content}
	if p.fetches() {
		return p.beginFetching(p.plan.KeysAge)
	}
	if err := p.load(0, p.volume.content, credential.Seen{Demand: true}); err != nil {
		return err
	}
	p.state.At = -p.plan.CacheAge
	if p.store != nil {
		p.store.begin()
	}
	return nil
}

// filesChanged is called when the kubelet has swapped the files.
func (p *pod) filesChanged() error {
	if !p.up {
		return nil
	}
	now := p.node.world.now
	p.catchUp()
	if p.group.policy.Due(p.state, now, credential.Seen{Changed: true}) {
		return p.load(now, p.volume.content, credential.Seen{Changed: true})
	}
	if torn := p.straddling(now); torn != nil {
		p.loadAt(p.state.At+2*p.group.plan.ReadGap, torn)
	} else {
		p.scheduleReload()
	}
	return nil
}

// catchUp works out the reads up to now that found unchanged files: they moved the policy's phase
// and nothing else.
func (p *pod) catchUp() {
	now := p.node.world.now
	for {
		at, ok := p.nextRead(0)
		if !ok || at >= now {
			return
		}
		p.state.At = at
	}
}

// nextRead returns when the process reads its files next, from the offset on, if nothing tells it
// to.
func (p *pod) nextRead(from time.Duration) (time.Duration, bool) {
	at, ok := p.group.policy.Next(p.state)
	if !ok {
		return 0, false
	}
	at = max(at, from)
	if p.group.policy.Due(p.state, at, credential.Seen{}) {
		return at, true // by time alone
	}
	if p.state.Failed || !p.state.Tried {
		at = max(at, p.node.world.now) // every demand since has failed as well
	}
	return p.nextDemand(at)
}

// scheduleReload schedules the read that will find the changed files, in place of any scheduled
// before.
func (p *pod) scheduleReload() {
	p.reloadSeq++
	w := p.node.world
	at, ok := p.nextRead(w.now)
	if !ok || at > w.plan.Horizon {
		return
	}
	seq := p.reloadSeq
	w.at(at, func() error {
		if p.reloadSeq != seq || !p.up {
			return nil
		}
		if due, ok := p.nextRead(w.now); !ok || due > w.now {
			p.scheduleReload() // who would have asked is down by now
			return nil
		}
		return p.load(w.now, p.volume.content, credential.Seen{Demand: true})
	})
}

// demandChanged is called when connections that were not made before begin to ask for contexts.
func (p *pod) demandChanged() {
	if p.up && p.fetches() {
		p.scheduleFetch()
	}
	if p.up && p.volume.unread && !p.straddled {
		p.scheduleReload()
	}
}

// straddling returns what a file-by-file read saw that began before the swap at now and ended after
// it: ca.crt, tls.crt and tls.key are opened in this order, ReadGap apart. Nil when none did.
func (p *pod) straddling(now time.Duration) *content {
	gap := p.group.plan.ReadGap
	began := p.state.At
	if p.group.read.Pinned || gap == 0 || p.previous.content == nil || now > began+2*gap {
		return nil
	}
	old, fresh := p.previous.content, p.volume.content
	mixed := *fresh
	mixed.cas = old.cas
	if now > began+gap {
		mixed.certs = old.certs
	}
	return &mixed
}

// loadAt has a read that began earlier end at the offset with what it saw.
func (p *pod) loadAt(at time.Duration, seen *content) {
	p.reloadSeq++
	p.straddled = true
	seq := p.reloadSeq
	p.node.world.at(at, func() error {
		if p.reloadSeq != seq || !p.up {
			return nil
		}
		p.straddled = false
		began := p.state.At
		if err := p.load(p.node.world.now, seen, credential.Seen{Demand: true}); err != nil {
			return err
		}
		p.state.At = began
		p.volume.unread = true // the volume as it is now is still to be read
		p.scheduleReload()
		return nil
	})
}

// load is the process reading its files now: the workload core says whether that gives a context.
func (p *pod) load(now time.Duration, c *content, seen credential.Seen) error {
	w := p.node.world
	problem, err := w.oracle.load(c, p.group)
	if err != nil {
		return err
	}
	var failed error
	if problem != "" {
		failed = errRead
	}
	p.state = p.state.After(now, seen, failed)
	if err := w.emit(p.reloadRow(now, c, problem)); err != nil {
		return err
	}
	p.volume.unread = false
	keep := problem != "" && p.group.policy.KeepLastGood && p.class != nil && p.class.broken == ""
	if keep {
		return nil
	}
	if problem == "" && c == p.volume.content {
		p.used = c
	}
	if p.group.issues() && p.token.key == nil && problem == "" {
		p.sign(c, p.firstSigned()) // who calls has waited for it
	}
	if err := p.become(p.key(c, problem)); err != nil {
		return err
	}
	if p.group.issues() && p.token.key != nil {
		p.scheduleSigning()
	}
	return nil
}

// key returns what the pod has in common with others that use the content.
func (p *pod) key(c *content, problem credential.Problem) classKey {
	return classKey{
		content: c, group: p.group, skew: p.skew, broken: problem, token: p.token,
		trouble: p.trouble,
	}
}

// reloadRow tells of a read. A generation that the pod used already, as after a restart, is no
// news, nor is a mixture of two: its row has no extent.
func (p *pod) reloadRow(now time.Duration, c *content, problem credential.Problem) record.Span {
	row := record.Span{
		Kind: record.Reload, From: c.written, Projected: p.volume.at, To: now,
		Source: p.plan.Name, Outcome: record.OK, Own: c.generation(p.trusted(c)),
	}
	row.NotBefore, row.NotAfter = c.validity()
	if p.used != nil && p.used.equal(c) || c != p.volume.content {
		row.From, row.Projected = now, now
	}
	if problem != "" {
		row.Outcome, row.Detail = record.NoCredential, string(problem)
	}
	return row
}

// trusted returns the CAs of the content that the process takes as trusted.
func (p *pod) trusted(c *content) []*cert {
	if p.group.read.Trust == credential.FirstCert {
		return c.cas[:min(1, len(c.cas))]
	}
	return c.cas
}

// become moves the pod to the class of the key.
func (p *pod) become(k classKey) error {
	w := p.node.world
	old := p.class
	if old != nil && old.classKey == k {
		return nil
	}
	if p.store != nil && old != nil {
		if err := p.store.leaveKeys(); err != nil {
			return err
		}
	}
	p.join(k)
	if p.store != nil {
		p.store.resume()
	}
	if w.open {
		p.publishedAnew()
	}
	if p.fetches() && w.open {
		p.scheduleFetch()
	}
	return w.traffic.moved(p, old)
}

// join puts the pod into the class of the key, without a word to the traffic.
func (p *pod) join(k classKey) {
	classes := &p.node.world.classes
	classes.leave(p)
	own := k.content.generation(p.trusted(k.content))
	if k.token.key != nil {
		own.Leaf = keyNames(k.content.secret, []string{k.token.kid})
	}
	classes.join(p, k, own)
}

// setSkew sets the process clock off. The reload policy counts on the monotonic clock and does not
// notice.
func (p *pod) setSkew(skew time.Duration) error {
	p.skew = skew
	if p.class == nil {
		return nil
	}
	key := p.class.classKey
	key.skew = skew
	return p.become(key)
}

// The modes in which pods are restarted.
const (
	restartKill      = "kill"
	restartContainer = "container"
)

// flushEvery is how often a workload's rows leave it; a killed one loses what it has not flushed.
const flushEvery = time.Second

// lastFlush returns when the process last flushed its rows: once in each flushEvery, at a random
// phase.
func (p *pod) lastFlush() time.Duration {
	w := p.node.world
	dice := scenarios.Rand(w.plan.Seed, "peer/"+p.plan.Name+"/flush")
	phase := time.Duration(dice.Int64N(int64(flushEvery)))
	return max((w.now-phase).Truncate(flushEvery)+phase, 0)
}

// stop ends the pod's process and schedules its successor.
func (p *pod) stop(action scenarios.Action) error {
	if !p.up {
		return nil
	}
	if err := p.node.world.traffic.leaving(p, action.Mode == restartKill); err != nil {
		return err
	}
	fresh := action.Mode != restartKill && action.Mode != restartContainer
	if err := p.end(action.ID, "restart ("+action.Mode+")", fresh); err != nil {
		return err
	}
	p.startAfter(action.Downtime)
	return nil
}

// end is the process of a pod that is up ending by the action, and its volume too when the next one
// is to have a fresh one.
func (p *pod) end(action, why string, fresh bool) error {
	w := p.node.world
	if fresh {
		if err := p.noteUnread(); err != nil {
			return err
		}
		p.syncSeq++
		p.syncPending = false
	}
	old := p.class
	w.classes.leave(p)
	p.up, p.since, p.why = false, w.now, why
	p.gone, p.restart, p.straddled = fresh, action, false
	p.epoch++
	p.reloadSeq++
	p.signSeq++
	p.token = heldToken{}
	if p.fetches() {
		p.keys.seq++
		if err := p.tellFetches(); err != nil {
			return err
		}
	}
	p.publishedAnew()
	return w.traffic.moved(p, old)
}

// startAfter has a pod that is down start a while later.
func (p *pod) startAfter(wait time.Duration) {
	epoch := p.epoch
	w := p.node.world
	w.at(w.now+wait, func() error {
		if p.epoch != epoch {
			return nil
		}
		return p.start()
	})
}

// start runs a new process, in a new pod with a fresh volume or in the old one. A new pod whose
// Secret does not exist cannot mount it and waits, nor is there a new pod without an API server,
// and no kubelet starts anything while paused. A node that boots starts its pods itself.
func (p *pod) start() error {
	w := p.node.world
	switch {
	case p.up, p.node.off:
		return nil
	case p.node.idle():
		p.why = "its kubelet is paused"
		p.startAfter(mountRetry)
		return nil
	case p.gone && w.api.down:
		p.why = "the API server is down"
		w.api.waiting = append(w.api.waiting, p)
		return nil
	case p.gone && p.mount.secret.content == nil:
		p.why = "its volume cannot be mounted"
		p.mount.secret.waiting = append(p.mount.secret.waiting, p)
		return nil
	}
	down := record.Span{
		Kind: record.Down, Source: p.plan.Name, From: p.since, To: w.now, Detail: p.why,
		Action: p.restart,
	}
	up := record.Span{Kind: record.Up, Source: p.plan.Name, From: w.now, To: w.now}
	if err := errors.Join(w.emit(down), w.emit(up)); err != nil {
		return err
	}
	p.up = true
	p.epoch++
	p.state = credential.State{}
	if p.gone {
		p.mountAnew()
	}
	if p.fetches() {
		if err := p.beginFetching(0); err != nil {
			return err
		}
		action := p.restart
		p.restart = ""
		return w.prove(action, p.plan.Name, "a new process runs")
	}
	// The first connection makes the process read; it comes at once, if any does.
	if err := p.load(w.now, p.volume.content, credential.Seen{Demand: true}); err != nil {
		return err
	}
	p.spreadDemand()
	action := p.restart
	p.restart = ""
	return w.prove(action, p.plan.Name, "a new process runs")
}

// mountAnew gives a new pod its volume.
func (p *pod) mountAnew() {
	now := p.node.world.now
	p.gone = false
	p.resyncs.restart(now)
	p.previous = projection{}
	p.volume = projection{content: p.mount.secret.content, at: now, unread: !p.fetches()}
	if p.node.plan.ChangeDetection == scenarios.Cache {
		p.mount.fetch()
	}
}

// spreadDemand tells those whom the process will dial that somebody asks for their contexts.
func (p *pod) spreadDemand() {
	for _, s := range p.out {
		for _, target := range s.targets {
			target.demandChanged()
		}
	}
	for _, a := range p.associations {
		a.demandChanged()
	}
}
