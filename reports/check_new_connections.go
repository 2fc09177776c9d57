package reports

import (
	"fmt"
	"strings"

	"github.com/certquake/certquake/harness/record"
)

// checkNewConnections fails when any new connection, or call with a token, failed for a credential
// reason. Peers that were down, a network that a fault disturbed, and the end of the run are no
// such reasons. It is inconclusive when others failed for a reason that is none of a credential.
func checkNewConnections(a *Analysis) (Status, string) {
	t := a.tally(func(f *failure) bool { return !f.association && f.outcome.Credential() })
	if t.count > 0 {
		return Fail, fmt.Sprintf("%s of %s failed for a credential reason, until %s; "+
			"the first was %s",
			Number(t.count), a.made(), Moment(t.last.to), a.describe(t.first))
	}
	if gap := a.strayFailures(); gap != "" {
		return Inconclusive, gap
	}
	if gap := a.thinEvidence(); gap != "" {
		return Inconclusive, gap
	}
	reason := fmt.Sprintf("none of %s failed for a credential reason", a.made())
	if unreachable := a.attempts.of(record.Unreachable); unreachable > 0 {
		reason += fmt.Sprintf("; %s found the peer down", Number(unreachable))
	}
	if silent := a.attempts.of(record.Timeout); silent > 0 {
		reason += fmt.Sprintf("; %s had no answer in time, from a pod that was down or over a "+
			"network that was disturbed", Number(silent))
	}
	return Pass, reason
}

// strayFailures returns which attempts between pods that were up failed for no credential
// reason, or nothing.
func (a *Analysis) strayFailures() string {
	t := a.tally(a.isStray)
	if t.count == 0 {
		return ""
	}
	var kinds []string
	for _, outcome := range a.attempts.outcomes {
		of := a.tally(func(f *failure) bool { return f.outcome == outcome && a.isStray(f) })
		if of.count > 0 {
			kinds = append(kinds, fmt.Sprintf("%s %s", Number(of.count), outcome))
		}
	}
	return fmt.Sprintf("%s of %s failed between pods that were up, for no credential reason (%s); "+
		"the first was %s",
		Number(t.count), a.made(), strings.Join(kinds, ", "), a.describe(t.first))
}

// isStray reports whether a new connection or call failed without a credential reason although
// neither end was down, nor the network between them disturbed. That a peer was unreachable is only
// held against a record that shows pods' lifetimes.
func (a *Analysis) isStray(f *failure) bool {
	switch {
	case f.association:
		return false
	case f.outcome == record.Timeout || f.outcome == record.Other:
		return a.linkedIn(f.stretch, f.count, f.source, f.peer)
	case f.outcome == record.Unreachable:
		return a.lifetimes() && a.aliveIn(f.stretch, f.count, f.peer)
	}
	return false
}
