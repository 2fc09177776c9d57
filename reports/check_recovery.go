package reports

import (
	"fmt"
	"time"
)

// checkRecovery fails when a credential failure happened later than the bound after the last fault,
// or after the instant the scenario gives.
func checkRecovery(a *Analysis) (Status, string) {
	after, within := a.settle()
	deadline := after + within
	if len(a.plan.Actions) == 0 && a.plan.Expect.Settle == nil {
		return Pass, "no fault was planned, so there was nothing to recover from"
	}
	t := a.tally(func(f *failure) bool { return f.outcome.Credential() })
	late := a.tally(func(f *failure) bool { return f.outcome.Credential() && f.to > deadline })
	if late.count > 0 {
		return Fail, fmt.Sprintf("credential failures went on until %s, %s after the last fault "+
			"ended at %s (bound %s); one of them was %s", Moment(t.last.to),
			Moment(t.last.to-after), Moment(after), Moment(within), a.describe(late.first))
	}
	if a.plan.Horizon <= deadline {
		return Inconclusive, fmt.Sprintf("the horizon %s leaves no time to recover: faults end at "+
			"%s, the bound is %s", Moment(a.plan.Horizon), Moment(after), Moment(within))
	}
	if gap := a.quietTail(deadline); gap != "" {
		return Inconclusive, gap
	}
	if t.count == 0 {
		return Pass, "no credential failure at all, up to " + Moment(a.reached)
	}
	return Pass, fmt.Sprintf("the last credential failure was at %s, %s; the bound is %s after %s",
		Moment(t.last.to), relative(t.last.to-after), Moment(within), Moment(after))
}

// settle returns when recovery begins and how long it may take.
func (a *Analysis) settle() (after, within time.Duration) {
	after, within = a.lastFault(), a.bounds.longest+a.longestReuse()
	if settle := a.plan.Expect.Settle; settle != nil {
		within = time.Duration(settle.Within)
		if settle.After > 0 {
			after = time.Duration(settle.After)
		}
	}
	return after, within
}

// longestReuse returns how long a token is called with at most. One that was signed with a key that
// nobody has any more is refused until then, however fast the Secret is.
func (a *Analysis) longestReuse() time.Duration {
	var longest time.Duration
	for i := range a.plan.Tokens {
		longest = max(longest, a.plan.Tokens[i].Reuse)
	}
	return longest
}

// quietTail returns why the tail cannot show a recovery, or nothing when it was tried enough.
func (a *Analysis) quietTail(deadline time.Duration) string {
	if gap := a.thinEvidence(); gap != "" {
		return gap
	}
	demands := a.demandSince(deadline)
	for _, d := range demands {
		if d.reached < attemptsMin {
			return fmt.Sprintf("%s, when recovery was due; %d are needed",
				a.shortfall(d, deadline, demands), attemptsMin)
		}
	}
	return ""
}

// relative places a time beside the end of the last fault.
func relative(d time.Duration) string {
	if d < 0 {
		return Moment(-d) + " before the last fault ended"
	}
	return Moment(d) + " after the last fault ended"
}
