package harnesstest

import (
	"cmp"
	"slices"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/reports"
	"github.com/certquake/certquake/scenarios"
)

// Result is what is compared of one run.
type Result struct {
	Verdict     reports.Status                       `json:"verdict"`
	Findings    map[scenarios.CheckID]reports.Status `json:"findings"`
	Outcomes    map[record.Outcome]int64             `json:"outcomes"` // without zeros
	Balance     reports.Balance                      `json:"balance"`
	Propagation reports.Quantiles                    `json:"propagation_seconds"`
	ByNode      []reports.NodeDelay                  `json:"propagation_by_node"`
}

func resultOf(report *reports.Report) Result {
	r := Result{
		Verdict: report.Verdict, Findings: map[scenarios.CheckID]reports.Status{},
		Outcomes: map[record.Outcome]int64{}, Balance: report.Balance,
		Propagation: report.Propagation, ByNode: report.ByNode,
	}
	for _, finding := range report.Findings {
		r.Findings[finding.ID] = finding.Status
	}
	for outcome, n := range report.Outcomes {
		if n > 0 {
			r.Outcomes[outcome] = n
		}
	}
	return r
}

// Model is what the simulator holds possible of a case, over the results of many seeds.
type Model struct {
	Verdicts  []reports.Status                       `json:"verdicts"`
	Findings  map[scenarios.CheckID][]reports.Status `json:"findings"`
	Attempts  map[string]Range                       `json:"attempts"` // by class, without zeros
	Scheduled int64                                  `json:"scheduled"`

	Failed      Range `json:"failed"`
	Unaccounted Range `json:"unaccounted"`

	P50 Range `json:"p50_seconds"` // of the propagation
	P90 Range `json:"p90_seconds"`
	// Propagation is that of the result whose median is the median of all.
	Propagation reports.Quantiles `json:"propagation_seconds"`
}

// Range is the smallest and the largest of a figure.
type Range struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

func newModel(results []Result) Model {
	model := Model{
		Findings:  map[scenarios.CheckID][]reports.Status{},
		Attempts:  map[string]Range{},
		Scheduled: results[0].Balance.Scheduled,
	}
	for _, r := range results {
		model.Verdicts = add(model.Verdicts, r.Verdict)
		for id, status := range r.Findings {
			model.Findings[id] = add(model.Findings[id], status)
		}
	}
	over := func(figure func(Result) float64) Range {
		figures := make([]float64, 0, len(results))
		for _, r := range results {
			figures = append(figures, figure(r))
		}
		return Range{slices.Min(figures), slices.Max(figures)}
	}
	for _, class := range classes() {
		seen := over(func(r Result) float64 { return float64(class.count(r)) })
		if seen.High > 0 {
			model.Attempts[class.name] = seen
		}
	}
	model.Failed = over(func(r Result) float64 { return float64(r.Balance.Failed) })
	model.Unaccounted = over(func(r Result) float64 { return float64(r.Balance.Unaccounted) })
	model.P50 = over(func(r Result) float64 { return float64(r.Propagation.P50) })
	model.P90 = over(func(r Result) float64 { return float64(r.Propagation.P90) })
	sorted := slices.SortedStableFunc(slices.Values(results), func(a, b Result) int {
		return cmp.Compare(a.Propagation.P50, b.Propagation.P50)
	})
	model.Propagation = sorted[len(sorted)/2].Propagation
	return model
}

// add adds a status to a sorted set.
func add(set []reports.Status, status reports.Status) []reports.Status {
	at, found := slices.BinarySearch(set, status)
	if found {
		return set
	}
	return slices.Insert(set, at, status)
}

// class is outcomes between which a model and the truth need not agree.
type class struct {
	name     string
	outcomes []record.Outcome
	noise    int64 // as many are none
}

// classes returns each cause that has to do with credentials, and, as one, the ways in which an
// attempt meets a process that is ending: the model has none under way then.
func classes() []class {
	gone := class{name: "no answer", noise: 5}
	var all []class
	for _, outcome := range record.Outcomes() {
		if outcome.Failed() && !outcome.Credential() {
			gone.outcomes = append(gone.outcomes, outcome)
			continue
		}
		all = append(all, class{name: string(outcome), outcomes: []record.Outcome{outcome}})
	}
	return append(all, gone)
}

func (c class) count(r Result) int64 {
	var n int64
	for _, outcome := range c.outcomes {
		n += r.Outcomes[outcome]
	}
	return n
}
