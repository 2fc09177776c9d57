package reports

import (
	"fmt"
	"time"
)

// checkProof is inconclusive when an action of the plan was not seen to take effect: then the run
// does not show what the fault would do. It never fails.
func checkProof(a *Analysis) (Status, string) {
	missing, first := 0, 0
	var slowest time.Duration
	for i, action := range a.plan.Actions {
		at, ok := a.proofs[action.ID]
		if ok {
			slowest = max(slowest, at-action.At)
			continue
		}
		if missing == 0 {
			first = i
		}
		missing++
	}
	total := int64(len(a.plan.Actions))
	switch {
	case total == 0:
		return Pass, "no fault was planned, so none needed proof"
	case missing > 0:
		action := a.plan.Actions[first]
		return Inconclusive, fmt.Sprintf("of %s, %d never seen to take effect; the first is %s, "+
			"due at %s", plural(total, "action"), missing, action.ID, Moment(action.At))
	}
	return Pass, fmt.Sprintf("%s planned, each seen to take effect within %s of being due",
		plural(total, "action"), Moment(slowest))
}
