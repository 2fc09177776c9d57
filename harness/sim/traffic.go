package sim

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sort"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// Attempts are counted, not executed. Between two changes of state every handshake of a pair of
// pods ends the same way, and how many fall due is arithmetic on the stream's schedule. So a run
// costs by changes, whatever the rate.

// successRow is the shortest span of successes that a change of rate ends, in troubled times: a
// second, and longer where so many pods dial that their rows would outnumber the failures.
func (t *traffic) successRow() time.Duration {
	return max(time.Second, time.Duration(len(t.streams))*20*time.Millisecond)
}

// stream is the canary dials of one pod.
type stream struct {
	plan    scenarios.Stream
	source  *pod
	targets []*pod
	slot    map[*pod]int64 // of a target in targets

	since   time.Duration // of the open span of successes, or of skips while the source is down
	apart   int64         // attempts in the open span that strands count
	strands []*strand     // open ones
	open    map[*pod]*strand
	dice    map[*pod]*rand.Rand // of attempts at a target whose packets are lost
}

// strand is a run of attempts of one pair that is counted by itself: they all fail for one reason,
// or the network between the two is disturbed.
type strand struct {
	target  *pod
	index   int           // in stream.strands
	base    time.Duration // of the attempts at the target
	from    time.Duration
	counted time.Duration // attempts before it are in stream.apart
	verdict verdict
	near    *record.Generation // what the source held
	far     *record.Generation
}

// kind is of the stream's rows.
func (s *stream) kind() record.Kind { return s.source.group.attempts() }

// attempts is the kind of what the group's pods attempt.
func (g *group) attempts() record.Kind {
	if g.tokens != nil {
		return record.Request
	}
	return record.Handshake
}

// period is the time between two attempts at the same target.
func (s *stream) period() time.Duration { return time.Duration(len(s.targets)) * s.plan.Every }

// base is the offset of the first attempt at the target.
func (s *stream) base(target *pod) time.Duration {
	n := int64(len(s.targets))
	first := (s.slot[target] - int64(s.plan.First)%n + n) % n
	return s.plan.Phase + time.Duration(first)*s.plan.Every
}

// due returns how many of the attempts at base, base+period and so on fall before t.
func due(base, period, t time.Duration) int64 {
	if t <= base {
		return 0
	}
	return int64((t-base-1)/period) + 1
}

// next returns the first of the attempts at or after t.
func next(base, period, t time.Duration) time.Duration {
	return base + time.Duration(due(base, period, t))*period
}

// within returns how many attempts fall in [from, to), with the offsets of the first and last.
func within(base, period, from, to time.Duration) (n int64, first, last time.Duration) {
	low, high := due(base, period, from), due(base, period, to)
	if high <= low {
		return 0, 0, 0
	}
	return high - low, base + time.Duration(low)*period, base + time.Duration(high-1)*period
}

// inbound is the attempts that arrive at a pod, as streams of equal period sorted by phase.
type inbound []inboundGroup

type inboundGroup struct {
	period  time.Duration
	arrival []arrival // in order of base modulo period
}

type arrival struct {
	base   time.Duration
	source *pod
}

// traffic holds every stream and association.
type traffic struct {
	world        *world
	streams      []*stream
	associations []*association
	latency      *latencyModel
}

// addStreams takes over the plan's streams.
func (t *traffic) addStreams(plan scenarios.Plan, byWorkload map[string][]*pod) {
	for _, planned := range plan.Streams {
		if planned.Op != scenarios.Calls {
			t.world.byName[planned.Source].store.add(planned)
			continue
		}
		s := &stream{
			plan: planned, source: t.world.byName[planned.Source], slot: map[*pod]int64{},
			open: map[*pod]*strand{},
		}
		for _, workload := range planned.To {
			for _, p := range byWorkload[workload] {
				if p != s.source {
					s.slot[p] = int64(len(s.targets))
					s.targets = append(s.targets, p)
				}
			}
		}
		if len(s.targets) == 0 {
			continue
		}
		t.streams = append(t.streams, s)
		s.source.out = append(s.source.out, s)
		for _, target := range s.targets {
			target.in.add(s, target)
			target.dialledBy = append(target.dialledBy, s)
			connect(s.source.group, target.group)
		}
	}
	for _, p := range t.world.pods {
		p.in.sort()
	}
}

// connect notes that pods of one group dial pods of the other.
func connect(from, to *group) {
	from.dials[to] = true
	to.dialledBy[from] = true
}

func (in *inbound) add(s *stream, target *pod) {
	period := s.period()
	at := arrival{base: s.base(target), source: s.source}
	for i := range *in {
		if (*in)[i].period == period {
			(*in)[i].arrival = append((*in)[i].arrival, at)
			return
		}
	}
	*in = append(*in, inboundGroup{period, []arrival{at}})
}

func (in inbound) sort() {
	for i := range in {
		period := in[i].period
		slices.SortStableFunc(in[i].arrival, func(a, b arrival) int {
			return cmp.Compare(a.base%period, b.base%period)
		})
	}
}

// next returns the first arrival at the pod, at or after t, from a source that is up and not cut
// off from it.
func (in inbound) next(p *pod, t time.Duration) time.Duration {
	best := forever
	for i := range in {
		best = min(best, in[i].next(p, t))
	}
	return best
}

func (g *inboundGroup) next(p *pod, t time.Duration) time.Duration {
	if t < 2*g.period { // not every stream has begun its cycle
		best := forever
		for i := range g.arrival {
			best = min(best, g.arrival[i].next(p, g.period, t))
		}
		return best
	}
	phase := t % g.period
	first := sort.Search(len(g.arrival), func(i int) bool {
		return g.arrival[i].base%g.period >= phase
	})
	for i := range g.arrival {
		at := g.arrival[(first+i)%len(g.arrival)].next(p, g.period, t)
		if at < forever {
			return at
		}
	}
	return forever
}

func (a *arrival) next(p *pod, period, t time.Duration) time.Duration {
	if !a.source.up || between(a.source.trouble, p.trouble).cut {
		return forever
	}
	return next(a.base, period, t)
}

// nextDemand returns when a connection from or to the pod, or its store, asks for its context next,
// from t on.
func (p *pod) nextDemand(t time.Duration) (time.Duration, bool) {
	first := p.in.next(p, t)
	for _, s := range p.out {
		first = min(first, next(s.plan.Phase, s.plan.Every, t))
	}
	for _, a := range p.associations {
		first = min(first, a.nextDemand(p, t))
	}
	if p.store != nil {
		first = min(first, p.store.nextDemand(t))
	}
	return first, first < forever
}
