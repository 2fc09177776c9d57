package reports

import (
	"fmt"
	"time"
)

// attemptsMin is the fewest new connections from which "none failed" says anything: by the rule of
// three, 30 clean attempts put the failure rate below 10 % with 95 % confidence.
const attemptsMin = 30

// thinEvidence returns why a check that found no failed new connection proves nothing, or nothing
// when enough were tried since the first fault: at least attemptsMin, and one for each ordered
// pair.
func (a *Analysis) thinEvidence() string {
	if len(a.plan.Streams) == 0 {
		return "no load: the scenario schedules no new connections"
	}
	since := a.firstFault()
	need := max(attemptsMin, int64(a.dials.pairs))
	if made := a.attempts.made(since); made < need {
		return fmt.Sprintf("only %s made after %s, fewer than the %s needed (%s)",
			plural(made, "new connection"), Moment(since), Number(need),
			plural(int64(a.dials.pairs), "ordered pair"))
	}
	return ""
}

// firstFault returns the offset of the plan's first action, 0 without any.
func (a *Analysis) firstFault() time.Duration {
	if len(a.plan.Actions) == 0 {
		return 0
	}
	return a.plan.Actions[0].At
}

// lastFault returns the end of the plan's last action.
func (a *Analysis) lastFault() time.Duration {
	var end time.Duration
	for _, action := range a.plan.Actions {
		end = max(end, action.At+action.Downtime)
	}
	return end
}

// connections returns how many new connections were made, for reasons.
func (a *Analysis) connections() string {
	return plural(a.attempts.made(0), "new connection")
}
