package sim

import (
	"math/rand/v2"
	"time"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// association is a long-lived connection. Once established it is never shaken hands on again, as in
// Akka's artery: it ends with one of its pods only, or when its keep-alives find the other end
// gone, and is then attempted until it succeeds.
type association struct {
	world  *world
	source *pod
	target *pod
	retry  time.Duration

	up    bool
	since time.Duration // of being up
	over  link          // while it is up: the link for which its end was worked out
	base  time.Duration // of the attempts while it is down
	open  *strand       // of those that fail
	seq   int           // invalidates scheduled attempts
	dice  *rand.Rand    // of what is lost of it
}

// addAssociations connects the pods of each group as the plan says.
func (t *traffic) addAssociations(plan scenarios.Plan, byWorkload map[string][]*pod) {
	for _, group := range plan.Peers {
		pods := byWorkload[group.Workload]
		names := make([]string, len(pods))
		for i, p := range pods {
			names[i] = p.plan.Name
		}
		for i, source := range pods {
			for _, target := range harness.Associates(group, names, i) {
				t.associate(source, t.world.byName[target], group.Retry)
			}
		}
	}
}

func (t *traffic) associate(source, target *pod, retry time.Duration) {
	a := &association{world: t.world, source: source, target: target, retry: retry}
	t.associations = append(t.associations, a)
	source.associations = append(source.associations, a)
	target.associations = append(target.associations, a)
	connect(source.group, target.group)
}

// nextAttempt returns the first attempt from t on, forever when none will be made.
func (a *association) nextAttempt(t time.Duration) time.Duration {
	if a.up || !a.source.up {
		return forever
	}
	return next(a.base, a.period(), t)
}

// period is the time between two attempts. One that gets no answer holds up the next.
func (a *association) period() time.Duration {
	if a.open == nil || !a.open.verdict.silent() {
		return a.retry
	}
	return a.pause()
}

// pause is the time from an attempt that gets no answer to the next one.
func (a *association) pause() time.Duration {
	return harness.AttemptDeadline.Truncate(a.retry) + a.retry
}

// nextDemand returns the first attempt from t on that asks the end for its context.
func (a *association) nextDemand(end *pod, t time.Duration) time.Duration {
	if end == a.target && a.open != nil && a.open.verdict.silent() {
		return forever
	}
	return a.nextAttempt(t)
}

// update follows a change of one of the association's pods.
func (a *association) update() error {
	if a.up && a.source.up && (a.target.up || a.target.node.off) {
		a.listen()
		return nil
	}
	if a.up {
		return a.drop()
	}
	if !a.source.up {
		a.seq++
		a.base = a.world.now
		return a.close()
	}
	v, err := a.world.traffic.pair(a.source, a.target)
	if err != nil {
		return err
	}
	if !v.outcome.Failed() && !v.link().cut {
		return a.schedule()
	}
	if a.open != nil && a.open.same(v, a.source, a.target) {
		return nil
	}
	if err := a.close(); err != nil {
		return err
	}
	a.open = &strand{
		target: a.target, from: a.world.now, verdict: v,
		near: generationOf(a.source), far: generationOf(a.target),
	}
	a.source.troubles++
	a.target.troubles++
	return nil
}

// listen works out when keep-alives end the association, if they do: what is lost of them is drawn
// ahead. The other end of a node that went off does not answer, ever.
func (a *association) listen() {
	l, ends := between(a.source.trouble, a.target.trouble), 2
	if !a.target.up {
		l, ends = link{cut: true, until: forever}, 1
	}
	if l == a.over {
		return
	}
	a.over = l
	first := forever
	for range ends {
		first = min(first, a.unheard(l))
	}
	if first == forever {
		return
	}
	since := a.since
	a.world.at(first, func() error {
		if !a.up || a.since != since {
			return nil
		}
		return a.drop()
	})
}

// unheard draws when one end gives the association up: a keep-alive after those that were lost.
func (a *association) unheard(l link) time.Duration {
	w := a.world
	if a.dice == nil {
		a.dice = a.newDice()
	}
	missed := 0
	at := w.now + time.Duration(a.dice.Int64N(int64(keepAliveEvery)))
	for ; at < min(l.until, w.plan.Horizon); at += keepAliveEvery {
		if missed++; !l.cut && a.dice.Float64() >= l.loss {
			missed = 0
		}
		if missed == keepAliveTries {
			return at + keepAliveEvery
		}
	}
	return forever
}

// drop ends the association. With one of its pods the other end notices at once.
func (a *association) drop() error {
	who := a.target
	if !a.source.up {
		who = a.source
	}
	a.up = false
	a.base = a.world.now
	row := record.Span{
		Kind: record.Drop, From: a.world.now, To: a.world.now,
		Source: a.source.plan.Name, Peer: a.target.plan.Name, Detail: who.plan.Name + " ended",
	}
	if err := a.world.emit(row); err != nil {
		return err
	}
	if err := a.update(); err != nil {
		return err
	}
	a.demandChanged()
	return nil
}

// demandChanged has ends that wait for a connection to ask for their context look for one.
func (a *association) demandChanged() {
	a.source.demandChanged()
	a.target.demandChanged()
}

// schedule makes the next attempt at its time, after what else happens at that instant: the attempt
// makes both ends read their files if these are due, and is judged by what they read.
func (a *association) schedule() error {
	at := a.resumed()
	if err := a.close(); err != nil {
		return err
	}
	a.scheduleAt(min(at, a.nextAttempt(a.world.now)))
	return nil
}

func (a *association) scheduleAt(at time.Duration) {
	a.seq++
	seq := a.seq
	attempt := func() error {
		if a.up || a.seq != seq || !a.source.up {
			return nil
		}
		return a.attempt()
	}
	a.world.at(at, func() error {
		a.world.at(a.world.now, attempt)
		return nil
	})
}

// resumed returns when the attempt that is under way over a link that was cut comes through.
func (a *association) resumed() time.Duration {
	now := a.world.now
	if a.open == nil || !a.open.verdict.link().cut || now <= a.base {
		return forever
	}
	under := next(a.base, a.pause(), now) - a.pause()
	wait := (now - under + connectRetry - 1).Truncate(connectRetry)
	if wait > connectLast {
		return forever
	}
	return under + wait
}

// attempt tries now and establishes the association if the handshake succeeds.
func (a *association) attempt() error {
	v, err := a.world.traffic.pair(a.source, a.target)
	if err != nil {
		return err
	}
	if v.outcome.Failed() || v.link().cut {
		return a.update()
	}
	row := record.Span{
		Kind: record.Associate, From: a.world.now, To: a.world.now, Count: 1,
		Source: a.source.plan.Name, Peer: a.target.plan.Name, Outcome: record.OK,
	}
	if v.link().loss > 0 && a.lost(v.link()) {
		row.Outcome, row.Own = record.Timeout, generationOf(a.source)
		a.scheduleAt(a.world.now + a.pause())
		return a.world.emit(row)
	}
	a.up, a.since, a.over = true, a.world.now, link{}
	a.listen()
	return a.world.emit(row)
}

// lost draws whether an attempt now loses so much that it is not in time.
func (a *association) lost(l link) bool {
	if a.dice == nil {
		a.dice = a.newDice()
	}
	class := a.source.class
	took := class.handshakeTime() + l.takes(a.dice, a.world.now, class.group)
	return took > harness.AttemptDeadline
}

func (a *association) newDice() *rand.Rand {
	return scenarios.Rand(a.world.plan.Seed,
		"network/"+a.source.plan.Name+"/association/"+a.target.plan.Name)
}

// close records the open strand's attempts, if any were made.
func (a *association) close() error {
	f := a.open
	a.open = nil
	if f == nil {
		return nil
	}
	a.source.troubles--
	a.target.troubles--
	period, end, outcome := a.retry, a.world.now, f.verdict.outcome
	if f.verdict.silent() {
		period, outcome = a.pause(), record.Timeout
	}
	if l := f.verdict.link(); l.cut {
		end = min(end, max(f.from, l.until-connectLast))
	}
	n, first, last := within(a.base, period, f.from, end)
	if n == 0 {
		return nil
	}
	row := f.row(a.source, run{n, first, last}, outcome)
	row.Kind = record.Associate
	return a.world.emit(row)
}
