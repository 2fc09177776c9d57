package reports

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// Report is report.json: the verdict on a run and every figure behind it. Times are in seconds
// unless a name says otherwise, offsets count from the start of the run.
type Report struct {
	Scenario string       `json:"scenario"`
	Why      string       `json:"why"`
	Seed     uint64       `json:"seed"`
	Speed    float64      `json:"speed,omitempty"` // durations are the scenario's divided by it
	Backend  string       `json:"backend"`
	Basis    record.Basis `json:"basis"`
	Digest   string       `json:"digest"` // of the plan

	Verdict    Status      `json:"verdict"`
	Expected   Expectation `json:"expected"`
	AsExpected bool        `json:"as_expected"`
	Complete   bool        `json:"complete"` // the run reached its horizon and no row is missing
	Horizon    Seconds     `json:"horizon_seconds"`
	Reached    Seconds     `json:"reached_seconds"`

	Findings   []Finding         `json:"findings"`   // one for each check, in the order of Checks
	Conditions []ConditionResult `json:"conditions"` // the scenario's own

	Balance      Balance                  `json:"balance"`
	Outcomes     map[record.Outcome]int64 `json:"outcomes"` // of attempts; all, zeros too
	Outage       Seconds                  `json:"outage_seconds"`
	Worst        Worst                    `json:"worst"`
	Latency      Latency                  `json:"latency"`
	Associations AssociationFigures       `json:"associations"`

	Propagation  Quantiles    `json:"propagation_seconds"` // from a Secret's write to its use
	Law          *Quantiles   `json:"propagation_law_seconds,omitempty"`
	Mounted      *Quantiles   `json:"propagation_mounted_seconds,omitempty"` // parts of it, where
	Fetched      *Quantiles   `json:"propagation_fetched_seconds,omitempty"` // some use a JWKS
	Projection   Quantiles    `json:"projection_seconds"`                    // the kubelet's part
	ByNode       []NodeDelay  `json:"propagation_by_node,omitempty"`
	Unpredicted  string       `json:"unpredicted,omitempty"` // why Law and ByNode are absent
	Bound        Seconds      `json:"bound_seconds"`         // the longest one the plan allows
	Disagreement Disagreement `json:"disagreement_seconds"`
	ExpiredUse   ExpiredUse   `json:"expired_use"`

	Clocks *Clocks `json:"clocks,omitempty"` // of a cluster's nodes, where they were compared

	Keys *Keys `json:"keys,omitempty"` // of plans with RotatingSecrets

	Stores []Store `json:"stores,omitempty"` // of plans with data at rest

	Faults    []Fault `json:"faults"` // every action of the plan
	Reproduce string  `json:"reproduce"`

	traffic traffic // how to speak of attempts
}

// Status is the three-valued result of a check, a condition or a run.
type Status string

// The statuses. Inconclusive is no pass: the run could not show what was to be shown.
const (
	Pass         Status = "pass"
	Fail         Status = "fail"
	Inconclusive Status = "inconclusive"
)

// Expectation is what the scenario said would happen.
type Expectation struct {
	Verdict Status `json:"verdict"`
	Because string `json:"because"` // a check or condition that must fail; empty for any
}

// Finding is the result of one check and its reason, a sentence with the numbers and names.
type Finding struct {
	ID     scenarios.CheckID `json:"id"`
	Status Status            `json:"status"`
	Reason string            `json:"reason"`
}

// ConditionResult is the result of one of the scenario's own conditions.
type ConditionResult struct {
	Name   string `json:"name"`
	That   string `json:"that"`
	Status Status `json:"status"`
	Reason string `json:"reason"`
}

// Balance accounts for every scheduled new connection or call. Scheduled follows from the plan
// alone, the rest from the rows; Unaccounted is what is left.
type Balance struct {
	Scheduled   int64 `json:"scheduled"`
	OK          int64 `json:"ok"`
	Failed      int64 `json:"failed"`
	Skipped     int64 `json:"skipped"`
	Unaccounted int64 `json:"unaccounted"`
}

// Worst is the first moment at which the most ordered pairs were broken.
type Worst struct {
	At     Seconds `json:"at_seconds"`
	Broken int     `json:"broken_pairs"`
	Pairs  int     `json:"pairs"` // ordered pairs that were tried at all
}

// Latency is of the new connections and calls whose latency was recorded.
type Latency struct {
	Count int64        `json:"count"`
	P50   Seconds      `json:"p50"`
	P99   Seconds      `json:"p99"`
	Max   Seconds      `json:"max"`
	Basis record.Basis `json:"basis"`
}

// AssociationFigures are of the long-lived associations.
type AssociationFigures struct {
	Established   int64   `json:"established"` // distinct associations that stood at some time
	Dropped       int64   `json:"dropped"`
	Reestablished int64   `json:"reestablished"`
	DownAtEnd     int64   `json:"down_at_end"`
	Attempts      int64   `json:"attempts"`
	Failed        int64   `json:"failed"`
	Lost          Seconds `json:"lost_seconds"` // all of them together, from each end to its return
}

// NodeDelay is the propagation to the pods of one node.
type NodeDelay struct {
	Node  string  `json:"node"`
	Count int64   `json:"count"`
	P50   Seconds `json:"p50_seconds"`
	Max   Seconds `json:"max_seconds"`
}

// ExpiredUse tells how often a pod still used a leaf after its end.
type ExpiredUse struct {
	Count int64   `json:"count"` // uses that went on after the leaf's notAfter
	Of    int64   `json:"of"`    // uses that were replaced or reached their notAfter
	Share Share   `json:"share"`
	Mean  Seconds `json:"mean_seconds"` // of those that did
	Max   Seconds `json:"max_seconds"`
}

// Fault is one action of the plan and when it was seen to take effect.
type Fault struct {
	ID    string   `json:"id"`
	At    Seconds  `json:"at_seconds"`
	Note  string   `json:"note"`
	Proof *Seconds `json:"proof_at_seconds"` // null without proof
}

// ExitCode returns 0 when the run went as the scenario expects, 3 when it was inconclusive against
// expectation or is incomplete, and 1 for any other surprise.
func (r *Report) ExitCode() int {
	switch {
	case r.AsExpected:
		return 0
	case r.Verdict == Inconclusive, !r.Complete:
		return 3
	}
	return 1
}

// Sentence returns the verdict as one sentence.
func (r *Report) Sentence() string {
	head := strings.ToUpper(string(r.Verdict))
	id, reason := r.mainReason()
	switch {
	case r.AsExpected && r.Verdict == Pass:
	case r.AsExpected:
		head += ", as expected"
	default:
		head += fmt.Sprintf(", but %s was expected", r.Expected)
	}
	if id != "" {
		head += " (" + id + ")"
	}
	return head + ": " + reason + "."
}

// String returns the expectation as it stands in a sentence.
func (e Expectation) String() string {
	if e.Because == "" {
		return string(e.Verdict)
	}
	return fmt.Sprintf("%s because of %s", e.Verdict, e.Because)
}

// mainReason returns the name and reason of what decides the verdict: the expected finding when it
// is among those that do, else the first of them. A pass has no name.
func (r *Report) mainReason() (id, reason string) {
	if r.Verdict == Pass {
		return "", fmt.Sprintf("all %d checks hold, over %s %ss and %s propagations",
			len(r.Findings)+len(r.Conditions), Number(r.Balance.OK+r.Balance.Failed),
			r.traffic.attempt(), Number(r.Propagation.Count))
	}
	for _, result := range r.results() {
		if result.status != r.Verdict {
			continue
		}
		if id == "" || result.id == r.Expected.Because {
			id, reason = result.id, result.reason
		}
	}
	return id, reason
}

// result is a finding or a condition's, for everything that treats them alike.
type result struct {
	id, promise, reason string
	status              Status
}

// results returns the findings, then the conditions.
func (r *Report) results() []result {
	all := make([]result, 0, len(r.Findings)+len(r.Conditions))
	for _, f := range r.Findings {
		all = append(all, result{string(f.ID), f.ID.Sentence(), f.Reason, f.Status})
	}
	for _, c := range r.Conditions {
		all = append(all, result{c.Name, c.That, c.Reason, c.Status})
	}
	return all
}

// reproduce returns the command line that gives this run again.
func reproduce(plan scenarios.Plan, header record.Header) string {
	seed := strconv.FormatUint(plan.Seed, 10)
	source := plan.Scenario
	if !slices.Contains(scenarios.Names(), source) {
		source += ".yaml" // a file of the user's, wherever it is
	}
	words := []string{"certquake", "run", source, "--seed", seed}
	if header.Backend != "" && header.Backend != "sim" {
		words = append(words, "--backend", header.Backend)
	}
	words = append(words, header.Settings...)
	if plan.Speed > 0 {
		words = append(words, "--speed", scenarios.FormatSpeed(plan.Speed))
	}
	for _, name := range slices.Sorted(maps.Keys(plan.Params)) {
		words = append(words, "--set", name+"="+plan.Params[name])
	}
	return CommandLine(words...)
}
