package harnesstest

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/reports"
	"github.com/certquake/certquake/scenarios"
)

// Case is one scenario of the library on which a backend is held against the simulator.
type Case struct {
	Scenario string
	Speed    float64 // see scenarios.Plan.Faster
	// Steered is set when a fault changes what kubelets do, so that propagation does not follow the
	// law of the plan's settings.
	Steered bool
}

// Backend is a harness.Backend with a name.
type Backend interface {
	harness.Backend
	Name() string
	Basis() record.Basis
}

// Comparison is what a backend and the model made of one case.
type Comparison struct {
	Case    Case
	Horizon time.Duration
	Model   []*reports.Report // one for each seed from 1 on
	Real    *reports.Report   // of seed 1
}

// Differential is how many seeds the model is asked for, which span what chance can do.
const Differential = 60

// Compare performs a case on the model under many seeds and on the real backend once.
func Compare(t *testing.T, c Case, model, real Backend) Comparison {
	t.Helper()
	compared := Comparison{Case: c}
	for seed := range uint64(Differential) {
		plan := c.plan(t, seed+1)
		compared.Horizon = plan.Horizon
		compared.Model = append(compared.Model, perform(t, plan, model))
	}
	compared.Real = perform(t, c.plan(t, 1), real)
	return compared
}

func (c Case) plan(t *testing.T, seed uint64) scenarios.Plan {
	t.Helper()
	scenario, err := scenarios.Open(c.Scenario, nil)
	require.NoError(t, err)
	plan, err := scenario.Plan(seed)
	require.NoError(t, err)
	if c.Speed > 1 {
		plan, err = plan.Faster(c.Speed)
		require.NoError(t, err)
	}
	return plan
}

// perform runs a plan and judges it, without a run folder.
func perform(t *testing.T, plan scenarios.Plan, backend Backend) *reports.Report {
	t.Helper()
	ctx := harness.WithTalk(t.Context(), func(line string) { t.Log(line) })
	analyzer := reports.NewAnalyzer(plan, record.Header{
		Version: record.Version, Scenario: plan.Scenario, Digest: plan.Digest(), Seed: plan.Seed,
		Backend: backend.Name(), Basis: backend.Basis(), Base: plan.Start,
	})
	require.NoError(t, run(ctx, plan, backend, analyzer))
	report, err := reports.Judge(analyzer.Finish())
	require.NoError(t, err)
	return report
}

func run(
	ctx context.Context, plan scenarios.Plan, backend Backend, sink record.Sink,
) error {
	return harness.Run(ctx, plan, backend, sink, nil)
}

// Differences returns in what the real run lies outside of what the model holds possible, a
// sentence each: verdict, status of every check, kinds of outcomes, balance, number of failures and
// quantiles of propagation.
func (c *Comparison) Differences() []string {
	var found []string
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	model, actual := c.Model[0], c.Real
	if actual.Verdict != model.Verdict {
		say("the verdict is %s, modelled %s", actual.Verdict, model.Verdict)
	}
	for i, finding := range actual.Findings {
		if !c.any(func(r *reports.Report) bool { return r.Findings[i].Status == finding.Status }) {
			say("%s is %s (%s), modelled %s (%s)", finding.ID, finding.Status, finding.Reason,
				model.Findings[i].Status, model.Findings[i].Reason)
		}
	}
	for _, outcome := range record.Outcomes() {
		saw := func(r *reports.Report) bool { return r.Outcomes[outcome] > 0 }
		switch {
		case saw(actual) && !c.any(saw):
			say("%d attempts ended with %s, none in the model", actual.Outcomes[outcome], outcome)
		case !saw(actual) && c.all(saw):
			say("no attempt ended with %s, always some in the model", outcome)
		}
	}
	if b := actual.Balance; b.Scheduled != model.Balance.Scheduled ||
		b.OK+b.Failed+b.Skipped+b.Unaccounted != b.Scheduled ||
		(b.Unaccounted == 0) != (model.Balance.Unaccounted == 0) {
		say("the balance is %+v, modelled %+v", b, model.Balance)
	}
	if low, high := c.Failures(); float64(actual.Balance.Failed) < float64(low)*0.5-slack ||
		float64(actual.Balance.Failed) > float64(high)*1.5+slack {
		say("%d attempts failed, modelled %d to %d", actual.Balance.Failed, low, high)
	}
	return append(found, c.propagation()...)
}

// slack is how many failures more or less are no difference, whatever their share: two pairs for
// the second in which one of them reads its files earlier than the other.
const slack = 40

func (c *Comparison) any(holds func(*reports.Report) bool) bool {
	return slices.ContainsFunc(c.Model, holds)
}

func (c *Comparison) all(holds func(*reports.Report) bool) bool {
	return !c.any(func(r *reports.Report) bool { return !holds(r) })
}

// Failures returns the smallest and the largest number of failures that the model knows.
func (c *Comparison) Failures() (low, high int64) {
	low = math.MaxInt64
	for _, r := range c.Model {
		low, high = min(low, r.Balance.Failed), max(high, r.Balance.Failed)
	}
	return low, high
}

// deviations is how many standard errors a quantile of a sample may lie off its law: chance alone
// exceeds it once in a thousand times.
const deviations = 3.3

// propagation compares the quantiles of the real run's propagation with those of all the model's
// runs together: the share of the law below a sample's quantile q has the standard error
// sqrt(q(1-q)/n).
func (c *Comparison) propagation() []string {
	n := float64(c.Real.Propagation.Count)
	if c.Case.Steered || n < 3 {
		return nil
	}
	var found []string
	scenario, err := scenarios.Open(c.Case.Scenario, nil)
	if err != nil {
		return []string{err.Error()}
	}
	plan, err := scenario.Plan(1)
	if err == nil && c.Case.Speed > 1 {
		plan, err = plan.Faster(c.Case.Speed)
	}
	if err != nil {
		return []string{err.Error()}
	}
	law := reports.NewLaw(plan)
	for q, at := range map[float64]reports.Seconds{
		0.5: c.Real.Propagation.P50, 0.9: c.Real.Propagation.P90,
	} {
		off := deviations * math.Sqrt(q*(1-q)/n)
		if share := law.CDF(float64(at)); share < q-off-1/n || share > q+off+1/n {
			found = append(found, fmt.Sprintf("propagation's %.0f %% quantile is %.1f s (n = %d), "+
				"by the law %.1f s", 100*q, float64(at), int64(n), law.Quantile(q)))
		}
	}
	slices.Sort(found)
	return found
}

// Table returns comparisons as a Markdown table, for the README.
func Table(backend string, compared []Comparison) string {
	var out strings.Builder
	fmt.Fprintf(&out, "| scenario | wall time | verdict | failed: sim | %s | "+
		"median propagation: law | sim | %s | the same |\n", backend, backend)
	out.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for _, c := range compared {
		low, high := c.Failures()
		verdict := string(c.Real.Verdict)
		if because := c.Real.Expected.Because; because != "" {
			verdict += " (" + because + ")"
		}
		same := "yes"
		if differences := c.Differences(); len(differences) > 0 {
			same = strings.Join(differences, "; ")
		}
		name := c.Case.Scenario
		if c.Case.Speed > 1 {
			name += fmt.Sprintf(" --speed %g", c.Case.Speed)
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s | %s | %s | %s | %s | %s |\n", name,
			c.Horizon.Round(time.Second), verdict, span(low, high), count(c.Real.Balance.Failed),
			c.lawful(), seconds(c.modelled()), seconds(c.Real.Propagation), same)
	}
	return out.String()
}

func span(low, high int64) string {
	if low == high {
		return count(low)
	}
	return count(low) + " to " + count(high)
}

func count(n int64) string { return reports.Number(n) }

func (c *Comparison) lawful() string {
	if c.Case.Steered {
		return "steered"
	}
	return seconds(c.Real.Law)
}

// modelled returns the quantiles of the model's run whose median is the median of all.
func (c *Comparison) modelled() reports.Quantiles {
	sorted := slices.SortedFunc(slices.Values(c.Model), func(a, b *reports.Report) int {
		return int(math.Copysign(1, float64(a.Propagation.P50-b.Propagation.P50)))
	})
	return sorted[len(sorted)/2].Propagation
}

func seconds(q reports.Quantiles) string {
	if q.Count == 0 {
		return "none"
	}
	return fmt.Sprintf("%.1f s", float64(q.P50))
}

// Outcomes returns the outcomes that were seen, for logs.
func (c *Comparison) Outcomes() string {
	var seen []string
	for _, outcome := range slices.Sorted(maps.Keys(c.Real.Outcomes)) {
		if n := c.Real.Outcomes[outcome]; n > 0 {
			seen = append(seen, fmt.Sprintf("%s %d", outcome, n))
		}
	}
	return strings.Join(seen, ", ")
}
