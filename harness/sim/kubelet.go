package sim

import (
	"math/rand/v2"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// mountRetry is how long a kubelet takes to mount a Secret that a waiting pod needs once it exists.
const mountRetry = 2 * time.Second

// resyncs is the timeline of one pod worker's resyncs: a renewal process with intervals of
// syncFrequency to 1.5 times it (pkg/kubelet/pod_workers.go, workerResyncIntervalJitterFactor).
// It is advanced lazily: a year of resyncs that find nothing costs one draw each and no event.
type resyncs struct {
	next  time.Duration
	every time.Duration // syncFrequency
	dice  *rand.Rand
}

// draw returns one interval.
func (r *resyncs) draw() time.Duration {
	return r.every + time.Duration(r.dice.Float64()*0.5*float64(r.every))
}

// after returns the first resync at or after t. Calls must not go back in time.
func (r *resyncs) after(t time.Duration) time.Duration {
	for r.next < t {
		r.next += r.draw()
	}
	return r.next
}

// restart has a resync at t and the following ones from there.
func (r *resyncs) restart(t time.Duration) { r.next = t + r.draw() }

// node is one kubelet.
type node struct {
	world  *world
	plan   scenarios.PlannedNode
	pods   []*pod
	mounts []*mount
	paused bool
	since  time.Duration // of the pause
}

// mount is a Secret as one node's kubelet sees it.
type mount struct {
	node    *node
	secret  *secret
	pods    []*pod
	cached  *content      // of Cache: what was fetched last
	fetched time.Duration // of Cache: when
	pending bool          // of Cache: a fetch is scheduled
	seq     int           // invalidates scheduled fetches
}

// visible returns what a sync sees now: the reflector's or a fresh object, or the cached one.
func (m *mount) visible() *content {
	if m.node.plan.ChangeDetection == scenarios.Cache {
		return m.cached
	}
	return m.secret.content
}

// changed is the API's word that the Secret has a new content.
func (m *mount) changed() {
	if m.node.plan.ChangeDetection == scenarios.Cache {
		m.scheduleFetch()
		return
	}
	for _, p := range m.pods {
		p.scheduleSync(m.node.world.now)
	}
}

// scheduleFetch finds the sync that will fetch the object anew: the first one of any of the node's
// pods that finds the cached object older than the TTL. While the kubelet is paused there is none.
func (m *mount) scheduleFetch() {
	if m.pending || m.node.paused {
		return
	}
	m.catchUp()
	at := m.nextFetch()
	if at == forever {
		return // no pod mounts it now; a new one has it fetched
	}
	m.pending = true
	seq := m.seq
	m.node.world.at(at, func() error {
		if m.seq != seq || m.node.paused {
			return nil // fetched meanwhile, or resume looks again
		}
		m.fetch()
		return nil
	})
}

// catchUp works out the fetches up to now that found nothing new.
func (m *mount) catchUp() {
	if m.node.plan.ChangeDetection != scenarios.Cache || m.pending {
		return
	}
	for next := m.nextFetch(); next < m.node.world.now; next = m.nextFetch() {
		m.fetched = next
	}
}

func (m *mount) nextFetch() time.Duration {
	first := forever
	for _, p := range m.pods {
		if !p.gone {
			first = min(first, p.resyncs.after(m.fetched+m.node.plan.CacheTTL))
		}
	}
	return first
}

// fetch takes the object into the cache, for the syncs from now on.
func (m *mount) fetch() {
	m.refresh()
	for _, p := range m.pods {
		p.scheduleSync(m.node.world.now)
	}
}

// refresh makes the cached object the current one.
func (m *mount) refresh() {
	m.fetched, m.cached = m.node.world.now, m.secret.content
	m.pending = false
	m.seq++
}

// pause stops the kubelet (SIGSTOP): syncs that fall due are not done until it goes on, and the
// pods' timelines stand still. The proof is a sync that fell due and was not done.
func (n *node) pause(action string) error {
	if !n.paused {
		n.catchUp()
		n.paused, n.since = true, n.world.now
	}
	first := forever
	var who *pod
	for _, p := range n.pods {
		if p.gone {
			continue
		}
		if due := p.resyncs.after(n.since); due < first {
			first, who = due, p
		}
	}
	if who == nil {
		return nil
	}
	since := n.since
	n.world.at(first, func() error {
		if !n.paused || n.since != since {
			return nil
		}
		return n.world.prove(action, n.plan.Name, "the due sync of "+who.plan.Name+" was held")
	})
	return nil
}

// resume continues the kubelet (SIGCONT): every sync that fell due meanwhile is done at once, and
// the others look at what changed meanwhile when they fall due.
func (n *node) resume(action string) error {
	if n.paused {
		n.paused = false
		for _, p := range n.pods {
			if p.gone || p.resyncs.after(n.since) > n.world.now {
				continue
			}
			if err := n.syncNow(p); err != nil {
				return err
			}
		}
		n.lookAgain()
	}
	return n.world.prove(action, n.plan.Name, "syncs go on")
}

// lookAgain schedules what is needed for every volume to become what the API holds.
func (n *node) lookAgain() {
	for _, m := range n.mounts {
		if n.plan.ChangeDetection == scenarios.Cache && m.cached != m.secret.content {
			m.scheduleFetch()
		}
		for _, p := range m.pods {
			if p.volume.content != m.visible() {
				p.scheduleSync(n.world.now)
			}
		}
	}
}

// configure restarts the kubelet with other settings: its cache is empty, and it syncs every pod as
// it comes up.
func (n *node) configure(settings scenarios.PlannedNode, action string) error {
	n.catchUp()
	n.plan.SyncFrequency = settings.SyncFrequency
	n.plan.ChangeDetection = settings.ChangeDetection
	n.plan.CacheTTL = settings.CacheTTL
	n.paused = false
	for _, m := range n.mounts {
		m.refresh()
	}
	for _, p := range n.pods {
		p.resyncs.every = settings.SyncFrequency
		if p.gone {
			continue
		}
		if err := n.syncNow(p); err != nil {
			return err
		}
	}
	return n.world.prove(action, n.plan.Name,
		"restarted with syncFrequency "+settings.SyncFrequency.String())
}

func (n *node) catchUp() {
	for _, m := range n.mounts {
		m.catchUp()
	}
}

// syncNow performs a sync now and restarts the pod's timeline; a caching kubelet fetches if it is
// due.
func (n *node) syncNow(p *pod) error {
	p.syncSeq++
	p.syncPending = false
	p.resyncs.restart(n.world.now)
	m := p.mount
	if n.plan.ChangeDetection == scenarios.Cache && !m.pending &&
		m.fetched+n.plan.CacheTTL <= n.world.now {
		m.fetch()
	}
	return p.sync()
}

// scheduleSync has the pod's next resync at or after t look at the Secret.
func (p *pod) scheduleSync(t time.Duration) {
	if p.gone || p.syncPending || p.node.paused {
		return
	}
	p.syncPending = true
	seq := p.syncSeq
	p.node.world.at(p.resyncs.after(t), func() error {
		if p.syncSeq != seq {
			return nil
		}
		p.syncPending = false
		if p.node.paused {
			return nil // resume does what fell due
		}
		return p.sync()
	})
}

// sync projects the Secret into the pod's volume as the AtomicWriter does: nothing is written when
// the payload is equal, and a deleted Secret leaves the files as they are.
func (p *pod) sync() error {
	c := p.mount.visible()
	if c == nil || c == p.volume.content {
		return nil
	}
	if c.equal(p.volume.content) {
		p.volume.content = c
		return nil
	}
	if err := p.noteUnread(); err != nil {
		return err
	}
	p.previous, p.volume = p.volume, projection{content: c, at: p.node.world.now, unread: true}
	return p.filesChanged()
}

// noteUnread records a projection that nobody read before it was replaced or the run ended.
func (p *pod) noteUnread() error {
	v := p.volume
	if !v.unread {
		return nil
	}
	p.volume.unread = false
	return p.node.world.emit(record.Span{
		Kind: record.Project, Source: p.plan.Name, Outcome: record.OK,
		From: v.content.written, To: v.at, Own: v.content.generation(v.content.cas),
	})
}
