package reports

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// checkProof is inconclusive when an action of the plan was not seen to take effect, or a pod went
// down that no action took down: then the run does not show what the faults alone would do. It
// never fails.
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
	case len(a.unplanned) > 0 && missing == 0:
		down := a.unplanned[0]
		return Inconclusive, fmt.Sprintf("%s went down at %s, which no fault did%s",
			a.pods.names[down.pod], Moment(down.at), others(len(a.unplanned)-1))
	case total == 0:
		return Pass, "no fault was planned, so none needed proof"
	case missing > 0:
		action := a.plan.Actions[first]
		return Inconclusive, fmt.Sprintf("of %s, %d never seen to take effect; the first is %s, "+
			"due at %s%s", plural(total, "action"), missing, action.ID, Moment(action.At),
			a.unproved(action))
	}
	return Pass, fmt.Sprintf("%s planned, each seen to take effect within %s of being due",
		plural(total, "action"), Moment(slowest))
}

// others tells of as many more than the one that is named.
func others(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", and %d times more", n)
}

// proving is an action of several subjects, each of which needs its own proof.
type proving struct {
	left   []string // subjects without a proof
	latest time.Duration
}

// skip remembers why an action was left out.
func (a *Analysis) skip(span *record.Span) {
	if span.Outcome != record.Skipped {
		return
	}
	if a.skipped == nil {
		a.skipped = map[string]string{}
	}
	a.skipped[span.Action] = span.Detail
}

// provings returns the actions that need a proof of each subject.
func provings(actions []scenarios.Action) map[string]*proving {
	all := map[string]*proving{}
	for _, action := range actions {
		if names := subjects(action); len(names) > 0 {
			all[action.ID] = &proving{left: slices.Clone(names)}
		}
	}
	return all
}

// take takes the proof of one subject and reports whether it was the last that lacked one.
func (p *proving) take(subject string, at time.Duration) bool {
	i := slices.Index(p.left, subject)
	if i < 0 {
		return false
	}
	p.left = slices.Delete(p.left, i, i+1)
	p.latest = max(p.latest, at)
	return len(p.left) == 0
}

// subjects returns the pods or Secrets that an action must be proved for one by one, none when a
// single proof speaks for the whole of it.
func subjects(action scenarios.Action) []string {
	switch action.Verb {
	case scenarios.RestartPods, scenarios.SetClock, scenarios.DisturbNetwork,
		scenarios.RestoreNetwork:
		return action.Pods
	case scenarios.PublishTrust, scenarios.RemoveSecret, scenarios.RestoreSecret,
		scenarios.TrimBundle, scenarios.WriteTornPair, scenarios.RestorePair,
		scenarios.RotateKeys, scenarios.RejectKey, scenarios.ReplaceKeys, scenarios.SpoilKeys,
		scenarios.MendKeys:
		return action.Secrets
	case scenarios.Reissue, scenarios.PauseSync, scenarios.ResumeSync, scenarios.ConfigureKubelet,
		scenarios.StopIssuer, scenarios.StartIssuer, scenarios.StopAPI, scenarios.StartAPI,
		scenarios.StopWebhook, scenarios.StartWebhook, scenarios.StopNode, scenarios.StartNode,
		scenarios.StopOperator, scenarios.StartOperator:
		return nil
	}
	return nil
}

// unprovedNamed is how many subjects without a proof a reason names.
const unprovedNamed = 5

// unproved words why an action lacks a proof: that it was left out, or which of its subjects lack
// one; nothing when all or no single one do.
func (a *Analysis) unproved(action scenarios.Action) string {
	if why := a.skipped[action.ID]; why != "" {
		return "; not performed (--allow-partial): " + why
	}
	p := a.provings[action.ID]
	if p == nil || len(p.left) == len(subjects(action)) {
		return ""
	}
	names := strings.Join(p.left[:min(len(p.left), unprovedNamed)], ", ")
	if more := len(p.left) - unprovedNamed; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	return "; it was not seen for " + names
}
