package sim

import (
	"time"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// begin builds the world at offset 0.
func (w *world) begin() error {
	manager, err := newCertManager(w, w.plan.World)
	if err != nil {
		return err
	}
	w.manager = manager
	if w.operator, err = newOperator(w, w.plan.World.RotatingSecrets); err != nil {
		return err
	}
	if err := manager.issueAll(); err != nil {
		return err
	}
	if err := w.operator.begin(); err != nil {
		return err
	}
	for _, planned := range w.plan.Nodes {
		w.nodes[planned.Name] = &node{
			world: w, plan: planned, ticks: newTicks(w.plan.Seed, planned.Name),
		}
	}
	byWorkload := w.addPods()
	w.traffic.addStreams(w.plan, byWorkload)
	w.traffic.addAssociations(w.plan, byWorkload)
	for _, p := range w.pods {
		if p.fetches() {
			continue
		}
		if err := p.begin(); err != nil {
			return err
		}
	}
	for _, p := range w.pods {
		if !p.fetches() {
			continue
		}
		if err := p.begin(); err != nil { // from issuers that are up
			return err
		}
	}
	w.open = true
	return w.traffic.begin()
}

// addPods places the plan's pods on their nodes.
func (w *world) addPods() map[string][]*pod {
	groups := map[string]*group{}
	for i, planned := range w.plan.Peers {
		groups[planned.Workload] = newGroup(i, planned)
	}
	for i := range w.plan.Tokens {
		planned := &w.plan.Tokens[i]
		groups[planned.Workload] = newTokenGroup(len(w.plan.Peers)+i, planned)
	}
	for i := range w.plan.Stores {
		planned := &w.plan.Stores[i]
		groups[planned.Workload] = newStoreGroup(len(w.plan.Peers)+len(w.plan.Tokens)+i, planned)
	}
	for _, g := range groups {
		if g.tokens != nil && g.tokens.JWKS != nil {
			g.from = groups[g.tokens.JWKS.From]
			g.from.published = true
		}
	}
	byWorkload := map[string][]*pod{}
	for i, planned := range w.plan.Pods {
		p := &pod{
			plan: planned, index: i, node: w.nodes[planned.Node], group: groups[planned.Workload],
		}
		mounted := w.api.secret(p.group.plan.Secret)
		if p.fetches() {
			mounted = w.noContent()
		}
		if p.group.store != nil {
			p.store = newStore(p)
		}
		p.group.pods = append(p.group.pods, p)
		p.mount = p.node.mount(mounted)
		p.mount.pods = append(p.mount.pods, p)
		p.node.pods = append(p.node.pods, p)
		w.pods = append(w.pods, p)
		w.byName[planned.Name] = p
		byWorkload[planned.Workload] = append(byWorkload[planned.Workload], p)
	}
	return byWorkload
}

// mount returns the node's view of the Secret. A caching kubelet's copy is of a random age.
func (n *node) mount(s *secret) *mount {
	for _, m := range n.mounts {
		if m.secret == s {
			return m
		}
	}
	dice := scenarios.Rand(n.world.plan.Seed, "kubelet/"+n.plan.Name+"/cache/"+s.name)
	m := &mount{
		node: n, secret: s, cached: s.content,
		fetched: -time.Duration(dice.Float64() * float64(n.plan.CacheTTL)),
	}
	n.mounts = append(n.mounts, m)
	s.mounts = append(s.mounts, m)
	return m
}

// newGroup translates a workload's settings into those of the workload core.
func newGroup(index int, planned scenarios.PeerGroup) *group {
	return &group{
		index: index, plan: planned, policy: harness.Policy(planned),
		read: harness.Reading(planned), tls: harness.TLS(planned),
		dials: map[*group]bool{}, dialledBy: map[*group]bool{},
	}
}
