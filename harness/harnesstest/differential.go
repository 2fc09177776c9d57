package harnesstest

import (
	"cmp"
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
	// Law is set when pods have had the time to fall out of step, so that every propagation is a
	// sample of its own; the law of each node is then held against the pods of that node.
	Law bool
}

// Backend is a harness.Backend with a name.
type Backend interface {
	harness.Backend
	Name() string
	Basis() record.Basis
}

// Comparison is what a backend and the model made of one case.
type Comparison struct {
	Case  Case
	Model []*reports.Report // one for each seed from 1 on
	Real  *reports.Report   // of seed 1

	plan scenarios.Plan // of seed 1
}

// Differential is how many seeds the model is asked for, which span what chance can do.
const Differential = 60

// Compare performs a case on the model under many seeds and on the other backend once.
func Compare(t *testing.T, c Case, model, other Backend) Comparison {
	t.Helper()
	compared := Comparison{Case: c, plan: c.plan(t, 1)}
	for seed := range uint64(Differential) {
		compared.Model = append(compared.Model, perform(t, c.plan(t, seed+1), model))
	}
	compared.Real = perform(t, compared.plan, other)
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
	if !c.any(func(r *reports.Report) bool { return r.Verdict == actual.Verdict }) {
		say("the verdict is %s, modelled %s", actual.Verdict, model.Verdict)
	}
	for i, finding := range actual.Findings {
		if !c.any(func(r *reports.Report) bool { return r.Findings[i].Status == finding.Status }) {
			say("%s is %s (%s), modelled %s (%s)", finding.ID, finding.Status, finding.Reason,
				model.Findings[i].Status, model.Findings[i].Reason)
		}
	}
	for _, class := range classes() {
		saw := func(r *reports.Report) bool { return class.count(r) > class.noise }
		switch {
		case saw(actual) && !c.any(saw):
			say("%d attempts ended with %s, none in the model", class.count(actual), class.name)
		case !saw(actual) && c.all(saw):
			say("no attempt ended with %s, always some in the model", class.name)
		}
	}
	if b := actual.Balance; b.Scheduled != model.Balance.Scheduled ||
		b.OK+b.Failed+b.Skipped+b.Unaccounted != b.Scheduled ||
		!c.any(func(r *reports.Report) bool {
			return (b.Unaccounted == 0) == (r.Balance.Unaccounted == 0)
		}) {
		say("the balance is %+v, modelled %+v", b, model.Balance)
	}
	if low, high := c.Failures(); float64(actual.Balance.Failed) < float64(low)*0.5-slack ||
		float64(actual.Balance.Failed) > float64(high)*1.5+slack {
		say("%d attempts failed, modelled %d to %d", actual.Balance.Failed, low, high)
	}
	return append(found, c.propagation()...)
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

func (c class) count(r *reports.Report) int64 {
	var n int64
	for _, outcome := range c.outcomes {
		n += r.Outcomes[outcome]
	}
	return n
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

// inStep is the syncFrequency below which pods that started in the same tick of their kubelet stay
// in step with each other for long: their intervals of 1 to 1.5 times it come to one or two numbers
// of ticks. The model's pods have been up for long, and are not.
const inStep = 5 * time.Second

// propagation compares the quantiles of the real run's propagation with those that the model knows
// or, where every propagation is a sample of its own, with the law of each node.
func (c *Comparison) propagation() []string {
	fastest := func(a, b scenarios.PlannedNode) int {
		return cmp.Compare(a.SyncFrequency, b.SyncFrequency)
	}
	nodes := slices.Clone(c.plan.Nodes)
	for _, action := range c.plan.Actions {
		if action.Kubelet != nil {
			nodes = append(nodes, *action.Kubelet)
		}
	}
	if slices.MinFunc(nodes, fastest).SyncFrequency < inStep {
		return nil
	}
	if !c.Case.Law {
		q50 := func(r *reports.Report) float64 { return float64(r.Propagation.P50) }
		q90 := func(r *reports.Report) float64 { return float64(r.Propagation.P90) }
		return append(c.outside("50 %", q50), c.outside("90 %", q90)...)
	}
	var found []string
	for _, node := range c.Real.ByNode {
		one := c.plan
		one.Pods = slices.DeleteFunc(slices.Clone(c.plan.Pods), func(p scenarios.Pod) bool {
			return p.Node != node.Node
		})
		found = append(found, strays("propagation on "+node.Node,
			reports.NewLaw(one), 0.5, node.P50, float64(node.Count))...)
	}
	return found
}

// haste is how much sooner or later than the model knows a quantile may be, in seconds: what a
// kubelet takes after its tick, and a process to look.
const haste = 0.3

// outside tells of a quantile of the propagation that is outside of all that the model knows.
func (c *Comparison) outside(what string, of func(*reports.Report) float64) []string {
	low, high := math.Inf(1), math.Inf(-1)
	for _, r := range c.Model {
		low, high = min(low, of(r)), max(high, of(r))
	}
	if at := of(c.Real); at < low-haste || at > high+haste {
		return []string{fmt.Sprintf("propagation: %s within %.1f s, modelled within %.1f to %.1f s",
			what, at, low, high)}
	}
	return nil
}

// strays tells of a sample's quantile q that is off its law: the share of the law below it has the
// standard error sqrt(q(1-q)/n).
func strays(what string, law reports.Law, q float64, at reports.Seconds, n float64) []string {
	if n < 3 {
		return nil
	}
	off := deviations*math.Sqrt(q*(1-q)/n) + 1/n
	if share := law.CDF(float64(at)); share > q-off && share < q+off {
		return nil
	}
	return []string{fmt.Sprintf("%s: %.0f %% within %.1f s (n = %.0f), by the law within %.1f s",
		what, 100*q, float64(at), n, law.Quantile(q))}
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
			c.plan.Horizon.Round(time.Second), verdict, span(low, high),
			count(c.Real.Balance.Failed), c.lawful(), seconds(c.modelled()),
			seconds(c.Real.Propagation), same)
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
