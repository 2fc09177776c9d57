package reports

import (
	"fmt"

	"github.com/certquake/certquake/harness/record"
)

// checkNewConnections fails when any new connection failed for a credential reason. Peers that were
// down, and the end of the run, are no such reasons.
func checkNewConnections(a *Analysis) (Status, string) {
	t := a.tally(func(f *failure) bool { return !f.association && f.outcome.Credential() })
	if t.count > 0 {
		return Fail, fmt.Sprintf("%s of %s failed for a credential reason, until %s; "+
			"the first was %s",
			Number(t.count), a.connections(), Moment(t.last.to), a.describe(t.first))
	}
	if gap := a.thinEvidence(); gap != "" {
		return Inconclusive, gap
	}
	reason := fmt.Sprintf("none of %s failed for a credential reason", a.connections())
	if unreachable := a.attempts.of(record.Unreachable); unreachable > 0 {
		reason += fmt.Sprintf("; %s found the peer down", Number(unreachable))
	}
	return Pass, reason
}
