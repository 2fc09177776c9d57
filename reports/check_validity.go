package reports

import (
	"fmt"
	"time"

	"github.com/certquake/certquake/harness/record"
)

// checkValidity fails when one end was shown a certificate or a token outside its validity, and
// when a pod under load had a certificate in use after its end although no dial met it.
func checkValidity(a *Analysis) (Status, string) {
	t := a.tally(func(f *failure) bool {
		return f.outcome == record.Expired || f.outcome == record.NotYetValid ||
			f.outcome == record.TokenExpired || f.outcome == record.TokenNotYetValid
	})
	held := a.heldExpired()
	if t.count > 0 {
		reason := fmt.Sprintf("%s met %s outside its validity, until %s; the first was %s",
			plural(t.count, "attempt"), t.traffic().shown(), Moment(t.last.to), a.describe(t.first))
		return Fail, reason + held.also()
	}
	if held.count > 0 {
		return Fail, held.sentence(a)
	}
	if gap := a.thinEvidence(); gap != "" {
		return Inconclusive, gap
	}
	if a.traffic.accesses && !a.traffic.connects && !a.traffic.calls {
		return Pass, "no certificate and no token was shown, so none was outside its validity"
	}
	reason := fmt.Sprintf("none of %s met %s outside its validity", a.made(), a.traffic.shown())
	return Pass, reason + choose(a.traffic.connects, a.traffic.calls,
		", and no pod used one past its end", "", ", and no pod used a certificate past its end")
}

// expiries is the uses of leaves that went on after their end, by pods under load.
type expiries struct {
	count   int64
	longest time.Duration
	pod     int
	use     use
}

func (a *Analysis) heldExpired() expiries {
	var held expiries
	loaded := a.dials.loaded(a.plan)
	for pod, isLoaded := range loaded {
		if !isLoaded {
			continue
		}
		for i, u := range a.uses[pod] {
			over := a.until(pod, i) - max(u.notAfter, u.at)
			if u.notAfter == 0 || over <= 0 {
				continue
			}
			held.count++
			if over > held.longest {
				held.longest, held.pod, held.use = over, pod, u
			}
		}
	}
	return held
}

func (e expiries) sentence(a *Analysis) string {
	return fmt.Sprintf("%s a leaf stayed in use past its end; the longest was %s, "+
		"which %s used for %s after it ended at %s", times(e.count),
		a.generations.at(e.use.generation).Leaf, a.pods.name(e.pod),
		Moment(e.longest), Moment(e.use.notAfter))
}

// also is what to add to a reason that has told of failures already.
func (e expiries) also() string {
	if e.count == 0 {
		return ""
	}
	return fmt.Sprintf("; %s a leaf stayed in use past its end, for up to %s",
		times(e.count), Moment(e.longest))
}

// times writes how often something happened.
func times(n int64) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return Number(n) + " times"
}
