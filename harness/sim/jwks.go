package sim

import (
	"slices"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/token"
)

// fetched is the JWKS of a verifier. Fetches that find what the last one found are worked out
// lazily, as resyncs are: what they change is when the next one is due.
type fetched struct {
	policy token.Policy
	state  token.State
	held   *content // the ring of the issuer that was asked last with success; nil before
	seq    int      // invalidates scheduled fetches
	calm   bool     // fetches find what the last one found, up to now
	row    record.Span
}

// fetches reports whether the pod has its keys from a JWKS.
func (p *pod) fetches() bool { return p.group.from != nil }

// noContent is in the volume of pods that mount nothing.
func (w *world) noContent() *secret {
	s := w.api.secret("")
	if s.content == nil {
		s.content = &content{ring: newRing(nil)}
	}
	return s
}

// beginFetching is the first fetch of a process, or, at offset 0, of one that fetched a while ago.
func (p *pod) beginFetching(ago time.Duration) error {
	p.keys = &fetched{policy: p.group.tokens.JWKS.Policy()}
	if err := p.fetch(); err != nil {
		return err
	}
	if k := p.keys; !p.node.world.open && !k.state.Failed {
		at := p.node.world.wall(-ago)
		k.state.Last, k.state.Good = at, at
		k.row.Count = 0 // it was before the record began
		p.scheduleFetch()
	}
	return nil
}

// fetch asks one of the issuer's pods for its keys.
func (p *pod) fetch() error {
	w := p.node.world
	k := p.keys
	source, failure := p.source()
	var failed error
	if source == nil {
		failed = errRead
	}
	k.state = k.state.After(w.wall(w.now), failed)
	if source != nil {
		k.held = source.class.content
	}
	if err := p.countFetch(source, failure); err != nil {
		return err
	}
	problem := credential.Problem("")
	if !k.policy.Usable(k.state, w.wall(w.now)) {
		problem = credential.Problem(token.Unfetched)
	}
	err := p.adopt(problem)
	p.scheduleFetch()
	return err
}

// source draws the issuer that a fetch asks, nil with why if that gives no keys.
func (p *pod) source() (*pod, record.Outcome) {
	var up []*pod
	for _, q := range p.group.from.pods {
		if q.up {
			up = append(up, q)
		}
	}
	if len(up) == 0 {
		return nil, record.Unreachable
	}
	if p.dice == nil {
		p.dice = scenarios.Rand(p.node.world.plan.Seed, "token/"+p.plan.Name+"/jwks")
	}
	asked := up[p.dice.IntN(len(up))]
	switch {
	case between(p.trouble, asked.trouble).cut:
		return nil, record.Timeout
	case asked.class.broken != "":
		return nil, record.NoKeys
	}
	return asked, record.OK
}

// adopt takes what was fetched into use.
func (p *pod) adopt(problem credential.Problem) error {
	w := p.node.world
	held := p.keys.held
	if held == nil {
		held = p.volume.content
	}
	next := p.key(held, problem)
	if p.class != nil && p.class.classKey == next {
		return nil
	}
	again := p.used != nil && p.used.equal(held)
	if problem == "" && (p.class == nil || !again) {
		row := record.Span{
			Kind: record.Reload, From: held.written, To: w.now, Source: p.plan.Name,
			Outcome: record.OK, Own: held.generation(nil),
		}
		if again {
			row.From = w.now // no news, as in reloadRow
		}
		p.used = held
		if err := w.emit(row); err != nil {
			return err
		}
	}
	return p.become(next)
}

// countFetch adds a fetch to the row of those before it, if it ended as they did.
func (p *pod) countFetch(source *pod, outcome record.Outcome) error {
	w := p.node.world
	row := &p.keys.row
	next := record.Span{
		Kind: record.Fetch, From: w.now, To: w.now, Count: 1, Source: p.plan.Name,
		Outcome: outcome,
	}
	if source != nil {
		next.Peer, next.Own = source.plan.Name, source.class.content.generation(nil)
	}
	same := row.Count > 0 && row.Outcome == outcome && (row.Own == nil) == (next.Own == nil) &&
		(row.Own == nil || *row.Own == *next.Own)
	if same {
		row.To = w.now
		row.Count++
		if row.Peer != next.Peer {
			row.Peer = ""
		}
		return nil
	}
	if err := p.tellFetches(); err != nil {
		return err
	}
	*row = next
	return nil
}

// tellFetches records the fetches so far.
func (p *pod) tellFetches() error {
	row := p.keys.row
	p.keys.row = record.Span{}
	if row.Count == 0 {
		return nil
	}
	return p.node.world.emit(row)
}

// catchUpFetches works out the fetches up to now that found nothing new: they moved the policy's
// phase.
func (p *pod) catchUpFetches() {
	w := p.node.world
	k := p.keys
	for k.calm {
		at := p.nextKnown()
		if at >= w.now {
			return
		}
		k.state = k.state.After(w.wall(at), nil)
		if k.row.Count == 0 {
			k.row.From = at
		}
		k.row.Count++
		k.row.To = at
	}
}

// nextKnown returns when the next fetch is that nothing unknown asks for.
func (p *pod) nextKnown() time.Duration {
	w := p.node.world
	k := p.keys
	first := forever
	if at, ok := k.policy.Next(k.state, token.NoDemand); ok {
		first = at.Sub(w.plan.Start)
	}
	if at, ok := k.policy.Next(k.state, token.DemandKnown); ok {
		from := max(at.Sub(w.plan.Start), p.answered())
		if at, ok := p.nextDemand(from); ok {
			first = min(first, at)
		}
	}
	return first
}

// nextUnknown returns when the next fetch is that a token of an unknown key asks for.
func (p *pod) nextUnknown() time.Duration {
	w := p.node.world
	k := p.keys
	at, ok := k.policy.Next(k.state, token.DemandUnknown)
	if !ok {
		return forever
	}
	from := max(w.now, at.Sub(w.plan.Start), p.answered())
	first := forever
	for _, s := range p.dialledBy {
		caller := s.source
		if !caller.up || caller.token.key == nil || between(caller.trouble, p.trouble).cut ||
			k.held != nil && slices.Contains(k.held.ring.ids, caller.token.kid) {
			continue
		}
		first = min(first, next(s.base(p), s.period(), from))
	}
	return first
}

// answered returns the first offset whose calls the last fetch was not for.
func (p *pod) answered() time.Duration {
	return max(p.keys.state.Last.Sub(p.node.world.plan.Start)+1, 0)
}

// calm reports whether fetches find what the last one found, so that they need no events.
func (p *pod) calm() bool {
	k := p.keys
	if k.held == nil || k.state.Failed {
		return false
	}
	for _, q := range p.group.from.pods {
		if !q.up || q.class.broken != "" || between(p.trouble, q.trouble).cut ||
			!q.class.content.equal(k.held) {
			return false
		}
	}
	return true
}

// scheduleFetch schedules the fetch that may find something else, in place of any scheduled before.
func (p *pod) scheduleFetch() {
	w := p.node.world
	p.catchUpFetches()
	p.keys.seq++
	at := forever
	if p.keys.calm = p.calm(); !p.keys.calm {
		at = max(p.nextKnown(), w.now)
	}
	at = min(at, p.nextUnknown())
	if at > w.plan.Horizon {
		return
	}
	seq := p.keys.seq
	w.at(at, func() error {
		if p.keys.seq != seq || !p.up {
			return nil
		}
		return p.fetch()
	})
}

// publishedAnew tells those who fetch the pod's keys, or verify its tokens, that something about it
// has changed.
func (p *pod) publishedAnew() {
	if !p.group.published {
		return
	}
	for _, q := range p.node.world.pods {
		if q.group.from == p.group && q.up {
			q.scheduleFetch()
		}
	}
}
