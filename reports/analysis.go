// Package reports turns a run into a verdict people can act on: it analyses a record, judges it by
// the named checks and the scenario's own conditions, and renders the result.
//
// Call Rebuild on a run folder, or, while a run is being recorded, give an Analyzer every row, then
// Finish, Judge and Render. A report is a pure function of the plan and the record: the same two
// give the same bytes, whenever and wherever it is computed.
package reports

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// Analysis is what a record says in the terms that checks and pictures need: attempts, failures,
// writes, and which pod used what when. It holds no verdict; Judge gives one.
type Analysis struct {
	plan     scenarios.Plan
	header   record.Header
	complete bool          // the record has its End row
	problem  string        // why rows are missing, empty when none is known to be
	reached  time.Duration // the offset up to which the record tells the story

	pods         roster
	generations  generations
	traffic      traffic
	attempts     attempts
	calls        int64 // attempts that were made with a token
	fetches      []fetched
	stored       []record.Span // ends of stores and of migrations
	failures     []failure
	associations associations
	secrets      secrets
	uses         [][]use // by pod, in the order they were taken into use
	downs        [][]stretch
	missing      [][]stretch // when it was down or out of reach, by pod
	starts       [][]time.Duration
	unplanned    []unplanned              // in the order of the rows
	due          map[string]time.Duration // by action
	proofs       map[string]time.Duration // by action, the first at or after it was due
	provings     map[string]*proving      // by action, of those with subjects; nil before a proof
	skipped      map[string]string        // why, by action that was left out on purpose
	unlike       []string                 // in what the cluster is not like the plan's nodes
	placed       bool                     // pods are on nodes of the cluster's choice

	clocks map[string]nodeClock // by node of the cluster; nil when none was compared

	broken []breakage // when each ordered pair was broken, merged and in order of pair and time
	peak   peak
	dials  dials
	bounds bounds

	disturbed []disturbance
}

// unplanned is a pod going down that no action took down.
type unplanned struct {
	pod int
	at  time.Duration
}

// stretch is the time from from up to to.
type stretch struct{ from, to time.Duration }

// Analyze reads the rows once, in order, and returns what they say. A row that cannot be read ends
// the analysis there: it is then of an incomplete record, and the row's error is its reason. The
// error is that of a plan nothing can be analysed by.
func Analyze(
	plan scenarios.Plan, header record.Header, spans iter.Seq2[record.Span, error],
) (*Analysis, error) {
	if plan.Horizon <= 0 {
		return nil, fmt.Errorf("analyse %q: the plan has no horizon", plan.Scenario)
	}
	analyzer := NewAnalyzer(plan, header)
	for span, err := range spans {
		if err != nil {
			analyzer.note(err.Error())
			break
		}
		if err := analyzer.Write(span); err != nil {
			return nil, err
		}
	}
	return analyzer.Finish(), nil
}

// Analyzer analyses a run while it is recorded: it is a record.Sink. It is not safe for concurrent
// use, and its memory grows with changes (failures, writes, uses), not with attempts.
type Analyzer struct {
	analysis *Analysis
	inUse    []use // every use in the order of the rows
	finished bool
}

// NewAnalyzer returns an Analyzer that has seen no row of the plan's record yet.
func NewAnalyzer(plan scenarios.Plan, header record.Header) *Analyzer {
	a := &Analysis{
		plan:         plan,
		header:       header,
		pods:         newRoster(plan),
		generations:  newGenerations(),
		traffic:      newTraffic(plan),
		attempts:     newAttempts(plan),
		associations: newAssociations(),
		secrets:      newSecrets(plan),
		due:          make(map[string]time.Duration, len(plan.Actions)),
		proofs:       make(map[string]time.Duration, len(plan.Actions)),
		dials:        newDials(plan),
	}
	a.bounds = newBounds(plan, &a.dials)
	for _, action := range plan.Actions {
		a.due[action.ID] = action.At
	}
	return &Analyzer{analysis: a}
}

// Write takes the next row. It never fails: a row of an unknown kind tells nothing and is passed
// over.
func (z *Analyzer) Write(span record.Span) error {
	a := z.analysis
	a.reached = max(a.reached, min(span.To, a.plan.Horizon))
	switch span.Kind {
	case record.Handshake, record.Request, record.Read, record.Seal:
		a.attempts.add(&span, a.pods.index(span.Source), a.pods.index(span.Peer))
		a.addFailure(&span)
		if span.Kind == record.Request && span.Outcome != record.Skipped {
			a.calls += span.Count
		}
	case record.Fetch:
		a.addFetches(&span)
	case record.Stored, record.Migrate:
		a.addStored(&span)
	case record.Associate, record.Drop:
		a.associations.add(&span, a.pods.index(span.Source), a.pods.index(span.Peer))
		a.addFailure(&span)
	case record.Write:
		a.secrets.write(&span, &a.generations)
	case record.Reload:
		z.reload(&span)
	case record.Proof:
		a.prove(span.Action, span.Source, span.To)
	case record.Up, record.Down:
		a.lifetime(&span)
	case record.NodeClock:
		a.compared(span)
	case record.Act:
		a.skip(&span)
	case record.Unlike:
		a.unlike = append(a.unlike, "node "+span.Source+": "+span.Detail)
	case record.Placed:
		a.placed = true
	case record.Lost:
		z.note(lostRows(&span))
	case record.End:
		a.complete = span.To >= a.plan.Horizon
	case record.Begin, record.Project, record.Issue, record.Clock:
		// These explain a run to its reader; no figure is computed from them.
	}
	return nil
}

// lostRows says what a Lost row means: a stretch without rows, or, without one, why the run ended.
func lostRows(span *record.Span) string {
	if span.To == 0 && span.Detail != "" {
		return span.Detail
	}
	text := fmt.Sprintf("rows from %s to %s are lost", Moment(span.From), Moment(span.To))
	if span.Detail != "" {
		text += ": " + span.Detail
	}
	return text
}

// note remembers the first reason why the record cannot be trusted to be whole.
func (z *Analyzer) note(problem string) {
	if z.analysis.problem == "" {
		z.analysis.problem = problem
	}
}

// reload remembers that a pod took content into use. A failed read changes nothing that is in use:
// the failures it causes are rows of their own.
func (z *Analyzer) reload(span *record.Span) {
	if span.Own == nil || span.Outcome.Failed() && span.Outcome != "" {
		return
	}
	a := z.analysis
	pod := a.pods.index(span.Source)
	generation := a.generations.index(*span.Own)
	z.inUse = append(z.inUse, use{
		pod:        pod,
		generation: generation,
		write:      a.secrets.find(a.secretOf(pod), span.From, span.To, generation, &a.generations),
		written:    span.From,
		projected:  span.Projected,
		at:         span.To,
		notAfter:   span.NotAfter,
	})
}

// prove remembers the first proof of an action at or after it was due: of each of its subjects, the
// latest of these, if it has any.
func (a *Analysis) prove(action, subject string, at time.Duration) {
	if due, planned := a.due[action]; !planned || at < due {
		return
	}
	if a.provings == nil {
		a.provings = provings(a.plan.Actions)
	}
	if p := a.provings[action]; p != nil {
		if p.take(subject, at) {
			a.proofs[action] = p.latest
		}
		return
	}
	if _, seen := a.proofs[action]; !seen {
		a.proofs[action] = at
	}
}

// lifetime remembers when a pod was down and when it started.
func (a *Analysis) lifetime(span *record.Span) {
	pod := a.pods.index(span.Source)
	for len(a.downs) <= pod {
		a.downs, a.starts = append(a.downs, nil), append(a.starts, nil)
		a.missing = append(a.missing, nil)
	}
	if span.Kind == record.Down {
		a.downs[pod] = append(a.downs[pod], stretch{span.From, span.To})
		a.missing[pod] = append(a.missing[pod], a.unheard(span))
		if span.Action == "" && a.header.Basis == record.Measured {
			a.unplanned = append(a.unplanned, unplanned{pod, span.From})
		}
		return
	}
	a.starts[pod] = append(a.starts[pod], span.To)
}

// addressKept is how long after a node's pods are up again they may still be looked for at the
// addresses that they had before: name servers of clusters have others keep an answer for 5 s.
const addressKept = 6 * time.Second

// unheard returns when a pod that a row tells to be down may have been out of reach: with its node,
// from when that was told to stop, since processes end before the node is seen to have ended, and
// on a real network until its new address is known.
func (a *Analysis) unheard(span *record.Span) stretch {
	out := stretch{span.From, span.To}
	i := slices.IndexFunc(a.plan.Actions, func(action scenarios.Action) bool {
		return action.ID == span.Action && action.Verb == scenarios.StopNode
	})
	if i < 0 {
		return out
	}
	out.from = min(out.from, a.plan.Actions[i].At)
	if a.header.Basis == record.Measured {
		out.to += addressKept
	}
	return out
}

// Finish returns the analysis of every row written. No row may be written after it; called again,
// it returns the same analysis.
func (z *Analyzer) Finish() *Analysis {
	a := z.analysis
	if z.finished {
		return a
	}
	z.finished = true
	if a.complete {
		a.reached = a.plan.Horizon
	}
	for len(a.downs) < len(a.pods.names) {
		a.downs, a.starts = append(a.downs, nil), append(a.starts, nil)
		a.missing = append(a.missing, nil)
	}
	a.markSpoilt()
	a.uses = byPod(z.inUse, len(a.pods.names))
	a.markFirstUses()
	a.broken = a.breakages()
	a.peak = peakOf(a.broken)
	a.disturbed = a.disturbances()
	return a
}

// whole returns why a pass cannot be claimed from the record, or nothing.
func (a *Analysis) whole() string {
	switch {
	case a.problem != "":
		return "the record is not whole: " + a.problem
	case !a.complete:
		return fmt.Sprintf("the record ends at %s of %s", Moment(a.reached), Moment(a.plan.Horizon))
	}
	return ""
}
