package reports

import (
	"fmt"
	"slices"
	"time"

	"github.com/certquake/certquake/scenarios"
)

// checkStaleTrust fails when a pod still trusted a CA later than the bound after the published
// ca.crt dropped it, unless the CA was published again before, and likewise when one that verifies
// tokens still had a key that was removed. Where the nodes are not the planned ones, a bound that
// follows from them is not theirs.
func checkStaleTrust(a *Analysis) (Status, string) {
	var v staleTrust
	for secret := range a.secrets.history {
		a.withdrawals(secret, func(w withdrawal) { v.judge(a, w) })
	}
	switch {
	case len(a.unlike) > 0 && a.plan.Expect.StaleTrust == nil && v.judged+v.pending > 0:
		return Inconclusive, a.notTheirs(v.bound)
	case v.stale > 0:
		return Fail, v.sentence(a)
	case v.judged == 0 && v.pending > 0:
		return Inconclusive, fmt.Sprintf("a %s was withdrawn %s, but the record ends before "+
			"the bound was over", a.traffic.trusted(), times(v.pending))
	case v.judged == 0:
		return Pass, "no " + a.traffic.trusted() + " was withdrawn, so none could stay trusted"
	}
	return Pass, fmt.Sprintf("a %s was withdrawn %s; no pod trusted it longer than the bound of %s",
		a.traffic.trusted(), times(v.judged), Moment(v.bound))
}

// withdrawal is a CA leaving the published ca.crt of a Secret, or a key leaving its key ring.
type withdrawal struct {
	write     int
	authority string        // or the key
	until     time.Duration // when it was published again, or the end of the record
}

// withdrawals calls visit with every CA or key that a write of the secret dropped. What should be a
// key ring and is none drops nothing: those who have read a good one keep it.
func (a *Analysis) withdrawals(secret int, visit func(withdrawal)) {
	var before []string
	for i, index := range a.secrets.history[secret] {
		generation := a.secrets.writes[index].generation
		if generation < 0 || a.spoilt(a.secrets.writes[index]) {
			continue
		}
		trust := a.generations.trust[generation]
		for _, authority := range before {
			if !slices.Contains(trust, authority) {
				visit(withdrawal{index, authority, a.published(secret, i+1, authority)})
			}
		}
		before = trust
	}
}

// published returns when the secret's writes from the given one on first publish the CA or key.
func (a *Analysis) published(secret int, from int, authority string) time.Duration {
	for _, index := range a.secrets.history[secret][from:] {
		w := a.secrets.writes[index]
		if w.generation >= 0 && !a.spoilt(w) &&
			slices.Contains(a.generations.trust[w.generation], authority) {
			return w.at
		}
	}
	return a.reached
}

// staleTrust gathers what became of withdrawals.
type staleTrust struct {
	judged, pending, stale int64
	bound, longest         time.Duration
	pod                    int
	worst                  withdrawal
}

func (v *staleTrust) judge(a *Analysis, w withdrawal) {
	at := a.secrets.writes[w.write].at
	judged, pending := false, false
	for pod := range a.plan.Pods {
		if a.secretOf(pod) != a.secrets.writes[w.write].secret || !a.trusts(pod) {
			continue
		}
		bound := a.trustBound(pod)
		v.bound = max(v.bound, bound)
		if at+bound >= w.until {
			pending = pending || w.until == a.reached
			continue
		}
		judged = true
		if over := a.trusted(pod, w, at+bound); over > 0 {
			v.stale++
			if late := over + bound; late > v.longest {
				v.longest, v.pod, v.worst = late, pod, w
			}
		}
	}
	switch {
	case judged:
		v.judged++
	case pending:
		v.pending++
	}
}

// trusts reports whether the pod verifies others by what its Secret holds: all but those who only
// sign, and those who fetch keys on demand and are never called.
func (a *Analysis) trusts(pod int) bool {
	group := a.tokensOf(pod)
	return group == nil || group.Role == scenarios.Verifies && !a.bounds.settled[pod].idle
}

// trusted returns for how long after the deadline the pod went on trusting it. Of a pod that is
// down then, what it takes into use as it comes up counts.
func (a *Analysis) trusted(pod int, w withdrawal, deadline time.Duration) time.Duration {
	deadline, up := a.upFrom(pod, deadline)
	i := a.inUse(pod, deadline)
	if i < 0 || !up || deadline >= w.until {
		return 0
	}
	u := a.uses[pod][i]
	if !slices.Contains(a.generations.trust[u.generation], w.authority) {
		return 0
	}
	return min(a.until(pod, i), w.until) - deadline
}

// trustBound returns how long the pod may trust what is withdrawn. Where nothing bounds that, as
// for verifiers that never fetch a JWKS again but for an unknown key, it is how long new keys take.
func (a *Analysis) trustBound(pod int) time.Duration {
	if within := a.plan.Expect.StaleTrust; within != nil {
		return time.Duration(within.Within)
	}
	if settled := a.bounds.settled[pod]; settled.known {
		return settled.within
	}
	return a.bounds.of(pod)
}

func (v *staleTrust) sentence(a *Analysis) string {
	return fmt.Sprintf("%s trusted a withdrawn %s beyond the bound; the longest was %s, "+
		"withdrawn at %s and trusted by %s for %s after that (bound %s)",
		plural(v.stale, "pod"), a.traffic.trusted(), v.worst.authority,
		Moment(a.secrets.writes[v.worst.write].at),
		a.pods.name(v.pod), Moment(v.longest), Moment(a.trustBound(v.pod)))
}
