package sim

import (
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// mountRetry is how long a kubelet takes to mount a Secret that a waiting pod needs once it exists.
const mountRetry = 2 * time.Second

// node is one kubelet.
type node struct {
	world  *world
	plan   scenarios.PlannedNode
	ticks  ticks
	pods   []*pod
	mounts []*mount
	paused bool
	since  time.Duration // of the pause

	// starting is the action that restarted the kubelet, until it comes up: at once, or when the
	// API server is back.
	starting string

	off     bool   // without power, or booting
	booting string // the action that boots the node, until its kubelet comes up
	cuts    int    // of its power, which end a boot under way
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

	earliest time.Duration // of Cache: no fetch before it succeeded, since the API was down
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
// pods that finds the cached object older than the TTL. While the kubelet is paused there is none,
// and while the API server is down every sync's fails.
func (m *mount) scheduleFetch() {
	if m.pending || m.node.idle() || m.node.world.api.down {
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
		if m.seq != seq || m.node.idle() {
			return nil // fetched meanwhile, or resume looks again
		}
		if m.node.world.api.down {
			m.pending = false // its return has the kubelet look again
			return nil
		}
		m.fetch()
		return nil
	})
}

// catchUp works out the fetches up to now that found nothing new.
func (m *mount) catchUp() {
	if m.node.plan.ChangeDetection != scenarios.Cache || m.pending || m.node.world.api.down {
		return
	}
	for next := m.nextFetch(); next < m.node.world.now; next = m.nextFetch() {
		m.fetched = next
	}
}

func (m *mount) nextFetch() time.Duration {
	first := forever
	due := max(m.fetched+m.node.plan.CacheTTL, m.earliest)
	for _, p := range m.pods {
		if !p.gone {
			first = min(first, p.resyncs.after(due))
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
	if n.off {
		return nil // there is none
	}
	if !n.paused {
		n.catchUp()
		n.catchUpRetries()
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

// resume continues the kubelet (SIGCONT): a tick that it missed comes at once, and with it every
// sync that fell due meanwhile; the others look at what changed meanwhile when they fall due. A
// kubelet that was restarted without an API server does not go on until that is back, and so proves
// nothing.
func (n *node) resume(action string) error {
	if n.off {
		return nil // there is none
	}
	wasPaused := n.paused
	n.paused = false
	if err := n.comeUp(); err != nil || n.idle() {
		return err
	}
	if wasPaused {
		missed := n.ticks.from(n.since) <= n.world.now
		for _, p := range n.pods {
			if p.gone || !missed || p.resyncs.dueFor(n.since) > n.world.now {
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

// configure restarts the kubelet with other settings. Without an API server it has no pods to sync
// and comes up at its return, and without power when its node has booted.
func (n *node) configure(settings scenarios.PlannedNode, action string) error {
	n.catchUp()
	n.catchUpRetries()
	n.plan.SyncFrequency = settings.SyncFrequency
	n.plan.ChangeDetection = settings.ChangeDetection
	n.plan.CacheTTL = settings.CacheTTL
	n.paused = false
	n.starting = action
	return n.comeUp()
}

// comeUp begins the life of a kubelet that was restarted, if it can: its cache is empty, its ticks
// are others, and it syncs every pod. On a node that has booted it starts them.
func (n *node) comeUp() error {
	configured, booted := n.starting, n.booting
	if configured == "" && booted == "" || n.paused || n.off || n.world.api.down {
		return nil
	}
	n.starting, n.booting = "", ""
	n.ticks.restart()
	for _, m := range n.mounts {
		m.refresh()
	}
	for _, p := range n.pods {
		p.resyncs.every = n.plan.SyncFrequency
		switch {
		case booted != "":
			p.startAfter(mountRetry)
		case !p.gone:
			if err := n.syncNow(p); err != nil {
				return err
			}
		}
	}
	if booted != "" {
		if err := n.world.prove(booted, n.plan.Name, "its kubelet runs again"); err != nil {
			return err
		}
	}
	if configured == "" {
		return nil
	}
	return n.world.prove(configured, n.plan.Name,
		"restarted with syncFrequency "+n.plan.SyncFrequency.String())
}

func (n *node) catchUp() {
	for _, m := range n.mounts {
		m.catchUp()
	}
}

// syncNow performs a sync now and restarts the pod's timeline; a caching kubelet fetches if it is
// due and can.
func (n *node) syncNow(p *pod) error {
	p.syncSeq++
	p.syncPending = false
	if n.failing() {
		p.resyncs.fail(n.world.now)
		return nil
	}
	p.resyncs.restart(n.world.now)
	m := p.mount
	if n.plan.ChangeDetection == scenarios.Cache && !m.pending && !n.world.api.down &&
		m.fetched+n.plan.CacheTTL <= n.world.now {
		m.fetch()
	}
	return p.sync()
}

// scheduleSync has the pod's next resync at or after t look at the Secret.
func (p *pod) scheduleSync(t time.Duration) {
	if p.gone || p.syncPending || p.node.idle() || p.node.failing() {
		return
	}
	p.syncPending = true
	seq := p.syncSeq
	p.node.world.at(p.resyncs.after(t), func() error {
		if p.syncSeq != seq {
			return nil
		}
		p.syncPending = false
		if p.node.idle() || p.node.failing() {
			return nil // resume does what fell due, and the API's return has it tried again
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
