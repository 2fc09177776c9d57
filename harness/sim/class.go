package sim

import (
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/handshake"
)

// group is a workload's settings in the terms of the workload core.
type group struct {
	index     int
	plan      scenarios.PeerGroup
	policy    credential.Policy
	read      credential.Settings
	tls       handshake.Settings
	tokens    *scenarios.TokenGroup // nil for all but issuers and verifiers
	store     *scenarios.StoreGroup // nil for all but stores
	from      *group                // whose JWKS its pods fetch, nil if they do not
	published bool                  // its pods' keys are fetched by others
	pods      []*pod
	dials     map[*group]bool // groups that its pods connect to
	dialledBy map[*group]bool
}

// class is the set of pods that are alike in everything a handshake depends on: the content they
// have loaded, their settings, their clock and the trouble of their network. Verdicts are between
// classes, so that a thousand peers cost as much as two where they differ in two ways only.
type class struct {
	classKey

	id    int
	own   *record.Generation // shared by the rows that name it
	pods  []*pod
	peers map[*class]verdict // of handshakes this class dials
}

// classKey is what the pods of a class have in common.
type classKey struct {
	content *content // what the process loaded, or failed to load
	group   *group
	skew    time.Duration
	broken  credential.Problem // why no context could be built; "" when one was
	token   heldToken          // that calls are made with, of issuers
	trouble *trouble           // of its network, nil without one
}

// verdict is how every handshake between two classes ends until an instant, if the network between
// them lets it come about.
type verdict struct {
	outcome record.Outcome
	side    record.Side
	until   time.Duration // when some certificate's validity changes next
	network *link         // nil while it is undisturbed: verdicts are many
}

// link returns the network that the verdict is over.
func (v verdict) link() link {
	if v.network == nil {
		return link{}
	}
	return *v.network
}

// apart reports whether attempts with the verdict are counted by themselves: they fail, or fare as
// no others do.
func (v verdict) apart() bool { return v.outcome.Failed() || v.network != nil }

// silent reports whether attempts with the verdict get no answer before their deadline.
func (v verdict) silent() bool { return v.outcome == record.Timeout || v.link().cut }

// classes interns the classes that have pods.
type classes struct {
	live   map[classKey]*class
	order  []*class // in order of birth
	nextID int
}

// join adds the pod to the class of the key, which it creates when there is none.
func (c *classes) join(p *pod, k classKey, own *record.Generation) {
	found := c.live[k]
	if found == nil {
		c.nextID++
		found = &class{
			classKey: k, id: c.nextID, own: own, peers: map[*class]verdict{},
		}
		c.live[k] = found
		c.order = append(c.order, found)
	}
	p.class, p.classIndex = found, len(found.pods)
	found.pods = append(found.pods, p)
}

// leave removes the pod from its class, and the class when it was the last one.
func (c *classes) leave(p *pod) {
	old := p.class
	if old == nil {
		return
	}
	last := old.pods[len(old.pods)-1]
	old.pods[p.classIndex], last.classIndex = last, p.classIndex
	old.pods = old.pods[:len(old.pods)-1]
	p.class = nil
	if len(old.pods) == 0 {
		c.remove(old)
	}
}

func (c *classes) remove(old *class) {
	delete(c.live, old.classKey)
	kept := c.order[:0]
	for _, other := range c.order {
		if other != old {
			kept = append(kept, other)
			delete(other.peers, old)
		}
	}
	clear(c.order[len(kept):])
	c.order = kept
}

// alive reports whether the class still has pods.
func (c *class) alive() bool { return len(c.pods) > 0 }
