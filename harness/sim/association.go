package sim

import (
	"time"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// association is a long-lived connection. Once established it is never shaken hands on again, as in
// Akka's artery: it ends with one of its pods only, and is then attempted until it succeeds.
type association struct {
	world  *world
	source *pod
	target *pod
	retry  time.Duration

	up   bool
	base time.Duration // of the attempts while it is down
	open *failure      // the failure that these meet
	seq  int           // invalidates scheduled attempts
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
	return next(a.base, a.retry, t)
}

// update follows a change of one of the association's pods.
func (a *association) update() error {
	if a.up && a.source.up && a.target.up {
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
	if !v.outcome.Failed() {
		return a.schedule()
	}
	if a.open != nil && a.open.same(v, a.source, a.target) {
		return nil
	}
	if err := a.close(); err != nil {
		return err
	}
	a.open = &failure{
		target: a.target, from: a.world.now, verdict: v,
		near: generationOf(a.source), far: generationOf(a.target),
	}
	a.source.troubles++
	a.target.troubles++
	return nil
}

// drop ends the association with one of its pods. The other end notices at once.
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
	if err := a.close(); err != nil {
		return err
	}
	a.seq++
	seq := a.seq
	attempt := func() error {
		if a.up || a.seq != seq || !a.source.up {
			return nil
		}
		return a.attempt()
	}
	a.world.at(a.nextAttempt(a.world.now), func() error {
		a.world.at(a.world.now, attempt)
		return nil
	})
	return nil
}

// attempt tries now and establishes the association if the handshake succeeds.
func (a *association) attempt() error {
	v, err := a.world.traffic.pair(a.source, a.target)
	if err != nil {
		return err
	}
	if v.outcome.Failed() {
		return a.update()
	}
	a.up = true
	return a.world.emit(record.Span{
		Kind: record.Associate, From: a.world.now, To: a.world.now, Count: 1,
		Source: a.source.plan.Name, Peer: a.target.plan.Name, Outcome: record.OK,
	})
}

// close records the open failure's attempts, if any were made.
func (a *association) close() error {
	f := a.open
	a.open = nil
	if f == nil {
		return nil
	}
	a.source.troubles--
	a.target.troubles--
	n, first, last := within(a.base, a.retry, f.from, a.world.now)
	if n == 0 {
		return nil
	}
	return a.world.emit(record.Span{
		Kind: record.Associate, From: first, To: last, Count: n,
		Source: a.source.plan.Name, Peer: a.target.plan.Name,
		Outcome: f.verdict.outcome, Side: f.verdict.side, Own: f.near, Other: f.far,
	})
}
