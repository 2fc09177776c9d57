package reports

import (
	"slices"
	"time"

	"github.com/certquake/certquake/harness/record"
)

// KeyFetches is the fetches of a JWKS by the pods of one group of verifiers.
type KeyFetches struct {
	Workload string  `json:"workload"`
	From     string  `json:"from"` // the issuers' workload
	Total    int64   `json:"total"`
	Failed   int64   `json:"failed"`
	PeakAt   Seconds `json:"peak_at_seconds"` // when the busiest second began
	Peak     Rate    `json:"peak_per_second"` // how many fetches it had
}

// fetched is a number of equal fetches, spread evenly over a stretch.
type fetched struct {
	stretch
	count  int64
	source int
	failed bool
}

func (a *Analysis) addFetches(span *record.Span) {
	a.fetches = append(a.fetches, fetched{
		stretch: stretch{span.From, span.To},
		count:   max(span.Count, 1),
		source:  a.pods.index(span.Source),
		failed:  span.Outcome.Failed(),
	})
}

// keyFetches returns the fetches of each group that uses a JWKS, in the plan's order.
func (a *Analysis) keyFetches() []KeyFetches {
	all := []KeyFetches{}
	for i := range a.plan.Tokens {
		group := &a.plan.Tokens[i]
		if group.JWKS == nil {
			continue
		}
		f := KeyFetches{Workload: group.Workload, From: group.JWKS.From}
		var rows []fetched
		for _, row := range a.fetches {
			if !a.dials.planned(row.source) || a.dials.workloads[row.source] != group.Workload {
				continue
			}
			rows = append(rows, row)
			f.Total += row.count
			if row.failed {
				f.Failed += row.count
			}
		}
		at, peak := busiestSecond(rows)
		f.PeakAt, f.Peak = seconds(at), Rate(peak)
		all = append(all, f)
	}
	return all
}

// busiestSecond returns when the second with the most fetches began, and how many those are: at
// least one, however thinly a row is spread. The number within a second only changes its course
// where a row begins or ends at one of its ends, so it is highest in a second that begins or ends
// there.
func busiestSecond(rows []fetched) (time.Duration, float64) {
	total := newFlow(rows)
	if len(total.edges) == 0 {
		return 0, 0
	}
	at, most := total.edges[0].at, 1.0
	for _, edge := range total.edges {
		for _, from := range []time.Duration{edge.at, max(edge.at+1-time.Second, 0)} {
			if n := total.before(from+time.Second) - total.before(from); n > most+1e-9 {
				at, most = from, n
			}
		}
	}
	return at, most
}

// flow is how many fetches there were up to each instant.
type flow struct{ edges []flowEdge }

// flowEdge is where the flow jumps or changes its rate.
type flowEdge struct {
	at    time.Duration
	jump  float64
	rate  float64 // fetches in a nanosecond from here on
	until float64 // fetches before this instant
}

func newFlow(rows []fetched) flow {
	changes := map[time.Duration]flowEdge{}
	change := func(at time.Duration, jump, rate float64) {
		edge := changes[at]
		changes[at] = flowEdge{at: at, jump: edge.jump + jump, rate: edge.rate + rate}
	}
	for _, row := range rows {
		if row.to <= row.from {
			change(row.from, float64(row.count), 0)
			continue
		}
		rate := float64(row.count) / float64(row.to-row.from)
		change(row.from, 0, rate)
		change(row.to, 0, -rate)
	}
	var f flow
	for _, edge := range changes {
		f.edges = append(f.edges, edge)
	}
	slices.SortFunc(f.edges, func(a, b flowEdge) int { return int(a.at - b.at) })
	for i := 1; i < len(f.edges); i++ {
		last := f.edges[i-1]
		f.edges[i].until = last.until + last.jump + last.rate*float64(f.edges[i].at-last.at)
		f.edges[i].rate += last.rate
	}
	return f
}

// before returns how many fetches there were before the offset.
func (f flow) before(at time.Duration) float64 {
	i, _ := slices.BinarySearchFunc(f.edges, at, func(edge flowEdge, at time.Duration) int {
		return int(edge.at - at)
	})
	if i == 0 {
		return 0
	}
	last := f.edges[i-1]
	return last.until + last.jump + last.rate*float64(at-last.at)
}
