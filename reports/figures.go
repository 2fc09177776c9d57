package reports

import (
	"slices"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// figures fills in everything a report holds but its verdict.
func (a *Analysis) figures() *Report {
	at, broken := a.worst()
	r := &Report{
		Scenario:     a.plan.Scenario,
		Why:          a.plan.Why,
		Seed:         a.plan.Seed,
		Speed:        a.plan.Speed,
		Backend:      a.header.Backend,
		Basis:        a.header.Basis,
		Digest:       a.header.Digest,
		Complete:     a.whole() == "",
		Horizon:      seconds(a.plan.Horizon),
		Reached:      seconds(a.reached),
		Balance:      a.balance(),
		Outcomes:     map[record.Outcome]int64{},
		Worst:        Worst{At: seconds(at), Broken: broken, Pairs: a.pairs()},
		Latency:      a.latency(),
		Associations: a.associationFigures(),
		Bound:        seconds(a.bounds.longest),
		Disagreement: disagreementOf(a.delaysByWrite()),
		ExpiredUse:   a.expiredUse(),
		Clocks:       a.clockFigures(),
		Faults:       a.faults(),
		Reproduce:    reproduce(a.plan, a.header),
		Keys:         a.keyFigures(),
		Stores:       a.storeFigures(),
		traffic:      a.traffic,
	}
	for _, outage := range a.outages() {
		r.Outage += seconds(outage.to - outage.from)
	}
	for i, outcome := range a.attempts.outcomes {
		r.Outcomes[outcome] = a.attempts.counts[i]
	}
	a.propagation(r)
	return r
}

func (a *Analysis) balance() Balance {
	b := Balance{
		Scheduled: a.scheduled(),
		OK:        a.attempts.of(record.OK),
		Failed:    a.attempts.failed(),
		Skipped:   a.attempts.of(record.Skipped),
	}
	b.Unaccounted = b.Scheduled - b.OK - b.Failed - b.Skipped
	return b
}

// scheduled returns how many new connections the plan has due before the horizon or, in a record
// that ends earlier, up to the last instant it tells of.
func (a *Analysis) scheduled() int64 {
	end := a.plan.Horizon
	if !a.complete {
		end = min(end, a.reached+1)
	}
	var total int64
	for _, stream := range a.plan.Streams {
		total += a.plan.Attempts(stream, end)
	}
	return total
}

// pairs returns how many ordered pairs were tried: those that dial, and those that only associate.
func (a *Analysis) pairs() int {
	if a.dials.pairs > 0 {
		pairs := a.dials.pairs
		for pair := range a.associations.states {
			if a.dials.pairEvery(pair[0], pair[1]) == 0 {
				pairs++
			}
		}
		return pairs
	}
	return len(a.associations.order)
}

func (a *Analysis) latency() Latency {
	h := a.attempts.latency
	if h.Count() == 0 {
		return Latency{Basis: a.header.Basis}
	}
	return Latency{
		Count: h.Count(),
		P50:   seconds(h.Quantile(0.5)),
		P99:   seconds(h.Quantile(0.99)),
		Max:   seconds(h.Max()),
		Basis: a.header.Basis,
	}
}

func (a *Analysis) associationFigures() AssociationFigures {
	s := &a.associations
	open, lost := s.open(a.reached)
	return AssociationFigures{
		Established:   s.established,
		Dropped:       s.dropped,
		Reestablished: s.again,
		DownAtEnd:     open,
		Attempts:      s.attempts,
		Failed:        s.failed,
		Lost:          seconds(lost),
	}
}

// propagation fills in the times from write to use, as a whole and by node, and what the settings
// predict, or why they do not.
func (a *Analysis) propagation(r *Report) {
	byNode := make([][]time.Duration, len(a.plan.Nodes))
	var all, mounted, fetched, projected []time.Duration
	for pod, uses := range a.uses {
		node := a.nodeOf(pod)
		for i := range uses {
			u := &uses[i]
			if !u.first {
				continue
			}
			all = append(all, u.at-u.written)
			if a.usesJWKS(pod) {
				fetched = append(fetched, u.at-u.written)
				continue
			}
			mounted = append(mounted, u.at-u.written)
			if node >= 0 {
				byNode[node] = append(byNode[node], u.at-u.written)
			}
			if u.projected > 0 {
				projected = append(projected, u.projected-u.written)
			}
		}
	}
	r.Propagation, r.Projection = quantilesOf(all), quantilesOf(projected)
	if a.anyJWKS() {
		r.Mounted, r.Fetched = new(quantilesOf(mounted)), new(quantilesOf(fetched))
	}
	if a.unpredicted() == "" {
		r.Law = new(NewLaw(a.plan).Quantiles())
	}
	if r.Unpredicted = a.unplaced(); r.Unpredicted != "" {
		return
	}
	r.ByNode = make([]NodeDelay, len(byNode))
	for i, node := range a.plan.Nodes {
		q := quantilesOf(byNode[i])
		r.ByNode[i] = NodeDelay{Node: node.Name, Count: q.Count, P50: q.P50, Max: q.Max}
	}
}

// anyJWKS reports whether some pods of the plan fetch their keys.
func (a *Analysis) anyJWKS() bool {
	return slices.ContainsFunc(a.plan.Tokens, func(group scenarios.TokenGroup) bool {
		return group.JWKS != nil
	})
}

// nodeOf returns the index of the pod's node, or -1.
func (a *Analysis) nodeOf(pod int) int {
	if pod >= len(a.plan.Pods) {
		return -1
	}
	return slices.IndexFunc(a.plan.Nodes, func(node scenarios.PlannedNode) bool {
		return node.Name == a.plan.Pods[pod].Node
	})
}

// expiredUse counts the uses that went on after their leaf's end. A use that is neither replaced
// nor expired when the record ends tells nothing either way.
func (a *Analysis) expiredUse() ExpiredUse {
	var e ExpiredUse
	var total time.Duration
	for pod, uses := range a.uses {
		for i := range uses {
			if uses[i].notAfter == 0 {
				continue
			}
			over := a.until(pod, i) - uses[i].notAfter
			if over <= 0 && i+1 == len(uses) {
				continue
			}
			e.Of++
			if over > 0 {
				e.Count++
				total += over
				e.Max = max(e.Max, seconds(over))
			}
		}
	}
	if e.Count > 0 {
		e.Share = Share(float64(e.Count) / float64(e.Of))
		e.Mean = seconds(total) / Seconds(e.Count)
	}
	return e
}

// faults lists the plan's actions with their proofs.
func (a *Analysis) faults() []Fault {
	faults := make([]Fault, 0, len(a.plan.Actions))
	for _, action := range a.plan.Actions {
		fault := Fault{ID: action.ID, At: seconds(action.At), Note: action.Note}
		if at, ok := a.proofs[action.ID]; ok {
			proof := seconds(at)
			fault.Proof = &proof
		}
		faults = append(faults, fault)
	}
	return faults
}
