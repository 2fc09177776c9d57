package reports

import (
	"slices"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// attempts is what became of the canary dials, of the calls with tokens, and of the reads and
// writes of data at rest.
type attempts struct {
	outcomes []record.Outcome // in the order of counts
	counts   []int64
	latency  *record.Histogram
	spans    []attempted
}

// attempted is a stretch of equal outcomes, its attempts spread evenly over it.
type attempted struct {
	stretch
	count   int64
	source  int
	kind    record.Kind
	alone   bool // of one pair, not of what a source has with all
	outcome int  // index into attempts.outcomes
}

// course is what a source does at one steady rate.
type course struct {
	source int
	kind   record.Kind
}

func (s *attempted) course() course { return course{s.source, s.kind} }

// newAttempts has the outcomes that the plan's attempts can have.
func newAttempts(plan scenarios.Plan) attempts {
	outcomes := record.Outcomes()
	if len(plan.Tokens)+len(plan.Stores) == 0 {
		outcomes = slices.DeleteFunc(outcomes, ofTokens)
	}
	return attempts{
		outcomes: outcomes,
		counts:   make([]int64, len(outcomes)),
		latency:  record.NewHistogram(),
	}
}

func (t *attempts) add(span *record.Span, source, peer int) {
	outcome := slices.Index(t.outcomes, span.Outcome)
	if outcome < 0 {
		outcome = slices.Index(t.outcomes, record.Other)
	}
	t.counts[outcome] += span.Count
	t.latency.Merge(span.Latency)
	t.spans = append(t.spans, attempted{
		stretch: stretch{span.From, span.To},
		count:   span.Count,
		source:  source,
		kind:    span.Kind,
		alone:   peer >= 0,
		outcome: outcome,
	})
}

// of returns the number of attempts that ended with the outcome.
func (t *attempts) of(outcome record.Outcome) int64 {
	return t.counts[slices.Index(t.outcomes, outcome)]
}

// failed returns the number of attempts that were made and failed, for any reason.
func (t *attempts) failed() int64 {
	var total int64
	for i, outcome := range t.outcomes {
		if outcome.Failed() {
			total += t.counts[i]
		}
	}
	return total
}

// made returns the number of attempts that were made at or after the offset.
func (t *attempts) made(since time.Duration) int64 {
	var total int64
	for _, span := range t.spans {
		if t.outcomes[span.outcome] != record.Skipped {
			total += span.since(since)
		}
	}
	return total
}

// judged returns the number of attempts that tell of credentials.
func (t *attempts) judged() int64 {
	var total int64
	for i, outcome := range t.outcomes {
		if tells(outcome) {
			total += t.counts[i]
		}
	}
	return total
}

// tells reports whether an attempt with the outcome tells anything of credentials: it succeeded or
// failed because of them. A peer that was not reached shows neither.
func tells(outcome record.Outcome) bool {
	return outcome == record.OK || outcome.Credential()
}

// since returns how many of the span's attempts lie at or after the offset.
func (s attempted) since(offset time.Duration) int64 {
	switch {
	case s.from >= offset:
		return s.count
	case s.to < offset || s.to == s.from:
		return 0
	}
	share := float64(s.to-offset) / float64(s.to-s.from)
	return int64(share * float64(s.count))
}

// histogram spreads the attempts over bins of equal width from from to to and returns the number of
// attempts in each bin, by outcome. A row of a source's successes may run on over other rows of it:
// its successes are then what was due and is not in those, not an even spread. The time between two
// attempts of a course is given by every, 0 when unknown.
func (t *attempts) histogram(
	w stretch, bins int, every func(course) time.Duration,
) [][]float64 {
	counts := make([][]float64, len(t.outcomes))
	for i := range counts {
		counts[i] = make([]float64, bins)
	}
	width := float64(w.to-w.from) / float64(bins)
	troubled := map[course][]float64{}
	for _, span := range t.spans {
		if t.outcomes[span.outcome] == record.OK && !span.alone {
			continue
		}
		spread(counts[span.outcome], span, w.from, width)
		of := span.course()
		if troubled[of] == nil {
			troubled[of] = make([]float64, bins)
		}
		spread(troubled[of], span, w.from, width)
	}
	ok := counts[slices.Index(t.outcomes, record.OK)]
	for _, span := range t.successes() {
		of := span.course()
		if interval := every(of); troubled[of] == nil || interval == 0 {
			spread(ok, span, w.from, width)
		} else {
			remainder(ok, troubled[of], span, interval, w.from, width)
		}
	}
	return counts
}

// successes returns the rows of what sources have with all, in order. Those of the reads of a store
// are one, for as long as it reads at all, and so are those of its writes: their rows are of one
// stream each, and go on over one another.
func (t *attempts) successes() []attempted {
	var all []attempted
	at, extent := map[course]int{}, map[course]stretch{}
	for _, span := range t.spans {
		of := span.course()
		if of.kind == record.Read || of.kind == record.Seal {
			whole, known := extent[of]
			if !known {
				whole = span.stretch
			}
			extent[of] = stretch{min(whole.from, span.from), max(whole.to, span.to)}
		}
	}
	for _, span := range t.spans {
		if t.outcomes[span.outcome] != record.OK || span.alone {
			continue
		}
		of := span.course()
		if i, known := at[of]; known {
			all[i].count += span.count
			continue
		}
		if whole, accesses := extent[of]; accesses {
			at[of] = len(all)
			span.stretch = whole
		}
		all = append(all, span)
	}
	return all
}

// remainder adds what was due in the span, an attempt every interval, less what the source's other
// outcomes took of each bin.
func remainder(
	bins, taken []float64, span attempted, interval, from time.Duration, width float64,
) {
	begin := float64(span.from-from) / width
	end := float64(span.to+interval-from) / width
	for i := max(int(begin), 0); i < len(bins) && float64(i) < end; i++ {
		covered := min(end, float64(i+1)) - max(begin, float64(i))
		due := max(covered, 0) * width / float64(interval)
		bins[i] += max(due-taken[i]*max(covered, 0), 0)
	}
}

// spread adds the attempts of one span to the bins it covers.
func spread(bins []float64, span attempted, from time.Duration, width float64) {
	begin := float64(span.from-from) / width
	end := float64(span.to-from) / width
	if end < 0 || begin >= float64(len(bins)) {
		return
	}
	if end-begin < 1e-9 {
		bins[max(int(begin), 0)] += float64(span.count)
		return
	}
	density := float64(span.count) / (end - begin)
	for i := max(int(begin), 0); i < len(bins) && float64(i) < end; i++ {
		covered := min(end, float64(i+1)) - max(begin, float64(i))
		bins[i] += max(covered, 0) * density
	}
}
