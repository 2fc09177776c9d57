package sim

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// What Linux and the workloads do about packets that are lost.
const (
	// connectRetry is the time between the packets that open a connection. The first retries are
	// equally far apart since Linux 6.5 (net.ipv4.tcp_syn_linear_timeouts), with which all of those
	// before the deadline are; before, the waits doubled.
	connectRetry = time.Second
	// connectLast is when the last of them is sent before the attempt is given up.
	connectLast = harness.AttemptDeadline - connectRetry
	// resendAfter is how much longer than a round trip the first packet of an open connection is
	// waited for (TCP_RTO_MIN). Each further wait is twice as long.
	resendAfter = 200 * time.Millisecond
	// resendMost is more retries than fit in before the deadline.
	resendMost = 10
	// The keep-alives of workloads/peer: a connection ends after as many in a row without answer.
	keepAliveEvery = time.Second
	keepAliveTries = 3
)

// trouble is what one action does to the network of its pods.
type trouble struct {
	network scenarios.NetworkTrouble
	until   time.Duration // forever when it is to stay
}

// link is the network between two pods, as far as it is disturbed. The zero value is not.
type link struct {
	delay time.Duration // of a round trip
	loss  float64       // of round trips: the packet there is lost, or the one back
	cut   bool
	until time.Duration
}

// between returns the link of two pods with these troubles. Pods in the same one are disturbed
// towards others, not among themselves.
func between(a, b *trouble) link {
	if a == b {
		return link{}
	}
	var l link
	arrives := 1.0
	for _, t := range [2]*trouble{a, b} {
		if t == nil {
			continue
		}
		l.delay += t.network.Delay
		l.cut = l.cut || t.network.Cut
		l.until = max(l.until, t.until)
		arrives *= 1 - t.network.Loss
	}
	l.loss = 1 - arrives*arrives
	if l.delay == 0 && l.loss == 0 && !l.cut {
		return link{}
	}
	return l
}

// over returns the verdict for the link, over which the class dials: the handshake's own, unless it
// takes too long.
func (v verdict) over(l link, from *class) verdict {
	if l.delay > 0 && from.handshakeTime()+l.delays(from.group) > harness.AttemptDeadline {
		return verdict{outcome: record.Timeout, until: v.until}
	}
	if l != (link{}) {
		disturbed := l // or every l would be on the heap
		v.network = &disturbed
	}
	return v
}

// delays is what the link adds to a dial if it loses nothing.
func (l link) delays(g *group) time.Duration { return time.Duration(g.roundTrips()) * l.delay }

// takes draws how much longer a dial takes that is due at the offset, for what is lost of it. It
// draws as often whatever the loss, so that a dial that loses more never takes less.
func (l link) takes(dice *rand.Rand, at time.Duration, g *group) time.Duration {
	took := l.delays(g)
	if wait := l.until - at; l.cut && wait > 0 {
		took += (wait + connectRetry - 1).Truncate(connectRetry)
	}
	if l.loss == 0 {
		return took
	}
	for i := range g.roundTrips() {
		// The number of losses in a row is at least n with probability loss^n.
		lost := min(math.Log(1-dice.Float64())/math.Log(l.loss), resendMost)
		if i == 0 {
			took += time.Duration(lost) * connectRetry
			continue
		}
		took += (1<<int(lost) - 1) * (roundTrip + l.delay + resendAfter)
	}
	return took
}

// disturb begins or ends a trouble of pods. All of them are in it before anybody looks.
func (w *world) disturb(action scenarios.Action) error {
	var begun *trouble
	seen := "its network is as it was"
	if action.Verb == scenarios.DisturbNetwork {
		begun = &trouble{network: *action.Network, until: forever}
		if end, ends := w.plan.EndOf(action); ends {
			begun.until = end.At
		}
		seen = begun.describe()
	}
	var pods []*pod
	for _, name := range action.Pods {
		p := w.byName[name]
		if p.trouble == nil && begun == nil {
			continue // nothing changes, so nothing is proved
		}
		p.trouble = begun
		pods = append(pods, p)
		if p.class != nil {
			key := p.class.classKey
			key.trouble = begun
			p.join(key)
		}
	}
	for _, p := range pods {
		if err := w.traffic.moved(p, p.class); err != nil {
			return err
		}
		if err := w.prove(action.ID, p.plan.Name, seen); err != nil {
			return err
		}
	}
	for _, p := range w.pods {
		p.demandChanged() // those who were cut off dial again
	}
	return nil
}

// describe tells what the trouble does, of one pod.
func (t *trouble) describe() string {
	if t.network.Cut {
		return "all packets to and from other pods are dropped"
	}
	var does []string
	if t.network.Delay > 0 {
		does = append(does, "packets to other pods are delayed by "+t.network.Delay.String())
	}
	if t.network.Loss > 0 {
		share := strconv.FormatFloat(math.Round(t.network.Loss*1e8)/1e6, 'f', -1, 64)
		does = append(does, share+"% of packets to and from other pods are dropped")
	}
	return strings.Join(does, ", ")
}

// tell records the strand's attempts before end. Over a link that loses packets each has its own
// dice, and so have those at the end of a cut, whose later packets come through.
func (t *traffic) tell(s *stream, f *strand, end time.Duration) error {
	l, alike := f.verdict.link(), end
	switch {
	case l.cut:
		alike = min(end, max(f.from, l.until-connectLast))
	case l.loss > 0:
		alike = f.from
	}
	n, first, last := within(f.base, s.period(), f.from, alike)
	if n > 0 {
		outcome := f.verdict.outcome
		if l.cut {
			outcome = record.Timeout
		}
		row := f.row(s.source, run{n, first, last}, outcome)
		if outcome == record.OK {
			class := s.source.class
			row.Latency = t.latency.histogram(class.handshakeTime(), l.delays(class.group), n)
		}
		if err := t.world.emit(row); err != nil {
			return err
		}
	}
	return t.chance(s, f, alike, end)
}

// run is attempts in a row.
type run struct {
	n           int64
	first, last time.Duration
}

func (r *run) add(at time.Duration) {
	if r.n == 0 {
		r.first = at
	}
	r.n++
	r.last = at
}

// row is of attempts that end as the strand's handshakes do, or get no answer in time: of those the
// peer knows nothing.
func (f *strand) row(source *pod, r run, outcome record.Outcome) record.Span {
	row := record.Span{
		Kind: source.group.attempts(), From: r.first, To: r.last, Count: r.n,
		Source: source.plan.Name, Peer: f.target.plan.Name, Outcome: outcome,
	}
	switch outcome { //nolint:exhaustive // all others are failures that an end decided
	case record.OK:
	case record.Timeout:
		row.Own = f.near
	default:
		row.Side, row.Own, row.Other = f.verdict.side, f.near, f.far
	}
	return row
}

// chance records the strand's attempts from the offset from to end, each by its dice: those without
// answer in rows of those that follow one another, all others in one.
func (t *traffic) chance(s *stream, f *strand, from, end time.Duration) error {
	n, first, _ := within(f.base, s.period(), from, end)
	if n == 0 {
		return nil
	}
	class, dice := s.source.class, s.diceOf(f.target)
	latency := record.NewHistogram()
	var answered, silent run
	var rows []record.Span
	for i := range n {
		at := first + time.Duration(i)*s.period()
		took := t.latency.draw(dice, class.handshakeTime()) +
			f.verdict.link().takes(dice, at, class.group)
		if took > harness.AttemptDeadline {
			silent.add(at)
			continue
		}
		if silent.n > 0 {
			rows, silent = append(rows, f.row(s.source, silent, record.Timeout)), run{}
		}
		answered.add(at)
		latency.Record(took, 1)
	}
	if silent.n > 0 {
		rows = append(rows, f.row(s.source, silent, record.Timeout))
	}
	if answered.n > 0 {
		row := f.row(s.source, answered, f.verdict.outcome)
		if row.Outcome == record.OK {
			row.Latency = latency
		}
		rows = append(rows, row)
	}
	for _, row := range rows {
		if err := t.world.emit(row); err != nil {
			return err
		}
	}
	return nil
}

// diceOf returns the dice of the stream's attempts at the target.
func (s *stream) diceOf(target *pod) *rand.Rand {
	if s.dice == nil {
		s.dice = map[*pod]*rand.Rand{}
	}
	if s.dice[target] == nil {
		number := slices.Index(s.source.out, s)
		s.dice[target] = scenarios.Rand(s.source.node.world.plan.Seed, "network/"+
			s.source.plan.Name+"/"+strconv.Itoa(number)+"/"+target.plan.Name)
	}
	return s.dice[target]
}
