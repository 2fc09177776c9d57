package harnesstest

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
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
	// Only has the one backend beside the simulator that can perform the scenario; when empty, all
	// can. The others must refuse it.
	Only string
	// Kernel is set when even that backend may refuse, because not every kernel has what it takes.
	Kernel bool
}

// Cases returns the scenarios on which the simulator is held against the truth, at speeds that
// leave a kubelet's interval at 2 s or more and a run at about a minute or less.
func Cases() []Case {
	return []Case{
		{Scenario: "propagation-law", Law: true},
		{Scenario: "quick-leaf-rotation", Speed: 10},
		{Scenario: "quick-ca-swap-abrupt", Speed: 10},
		{Scenario: "quick-ca-swap-bundle", Speed: 10},
		{Scenario: "ca-swap-bundle-short-hold", Speed: 30},
		{Scenario: "ca-swap-bundle-first-cert", Speed: 30},
		{Scenario: "ca-swap-cross-sign", Speed: 30},
		{Scenario: "ca-swap-together", Speed: 30},
		{Scenario: "restart-during-swap", Speed: 30},
		{Scenario: "sync-held", Speed: 30, Steered: true},
		{Scenario: "quick-set-kubelet", Speed: 10, Steered: true},
		{Scenario: "quick-clock-skew", Speed: 10},
		{Scenario: "secret-delete-recreate", Speed: 30},
		{Scenario: "bundle-truncated", Speed: 30},
		{Scenario: "stale-trust", Speed: 30},
		{Scenario: "torn-pair-java", Speed: 30},
		{Scenario: "torn-pair-go", Speed: 30},
		{Scenario: "watcher-deaf", Speed: 30},
		{Scenario: "hostname-mismatch", Speed: 30},
		{Scenario: "tls13-resumption", Speed: 30},
		{Scenario: "attempts-unaccounted", Speed: 30},
		{Scenario: "quick-issuer-outage", Speed: 10},
		{Scenario: "api-outage-watch", Speed: 2, Steered: true},
		{Scenario: "webhook-outage-short", Speed: 10},
		{Scenario: "quick-jwt-rotation", Speed: 5},
		{Scenario: "quick-jwt-hard-swap", Speed: 5},
		{Scenario: "quick-network-cut", Speed: 10, Only: "kind"},
		{Scenario: "quick-network-cut-bundle", Speed: 10, Only: "kind"},
		{Scenario: "quick-network-loss", Speed: 10, Only: "kind"},
		{Scenario: "quick-network-delay", Speed: 10, Only: "kind", Kernel: true},
		{Scenario: "quick-node-stop", Speed: 10, Only: "kind", Steered: true},
		{Scenario: "quick-node-stop-abrupt", Speed: 10, Only: "kind", Steered: true},
	}
}

// String returns the case as it is written on the command line.
func (c Case) String() string {
	if c.Speed > 1 {
		return c.Scenario + " --speed " + scenarios.FormatSpeed(c.Speed)
	}
	return c.Scenario
}

// possible reports whether a backend can perform the case.
func (c Case) possible(backend string) bool { return c.Only == "" || c.Only == backend }

// Plan returns the plan of the case.
func (c Case) Plan(t *testing.T, seed uint64) scenarios.Plan {
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

// Backend is a harness.Backend with a name.
type Backend interface {
	harness.Backend
	Name() string
	Basis() record.Basis
}

// Comparison is what a backend and the simulator made of one case.
type Comparison struct {
	Case  Case
	Model Model  // what the simulator holds possible
	Real  Result // of seed 1

	plan scenarios.Plan // of seed 1
}

// Compare performs a case on the simulator under many seeds and on the other backend, and asserts
// that the two agree; one that differs is performed once more. Where the case is not possible on
// the other backend, it asserts that it is refused, and performed is false.
func Compare(
	ctx context.Context, t *testing.T, c Case, sim, other Backend,
) (compared Comparison, performed bool) {
	t.Helper()
	plan := c.Plan(t, 1)
	refused := other.Check(plan)
	if !c.possible(other.Name()) || c.Kernel && refused != nil {
		require.ErrorIs(t, refused, harness.ErrUnsupported)
		t.Logf("%s is not possible on %s: %v", c, other.Name(), refused)
		return Comparison{}, false
	}
	compared = Comparison{Case: c, Model: modelOf(ctx, t, c, sim), plan: plan}
	var differences []string
	for range attempts {
		differences = compared.hold(ctx, t, other)
		if len(differences) == 0 {
			break
		}
	}
	assert.Empty(t, differences)
	return compared, true
}

// attempts is how often a case is performed that differs: a machine that stood still for a second
// is no difference between the worlds, and what is one is so each time.
const attempts = 2

// hold performs the case on the other backend and returns in what it differs.
func (c *Comparison) hold(ctx context.Context, t *testing.T, other Backend) []string {
	t.Helper()
	report := perform(ctx, t, c.plan, other)
	c.Real = resultOf(report)
	t.Log(report.Sentence())
	t.Logf("outcomes: %v", c.Real.Outcomes)
	differences := c.Differences()
	if len(differences) > 0 { // the table has no room for reasons
		t.Logf("differs: %s", strings.Join(differences, "; "))
		for _, finding := range report.Findings {
			t.Logf("%s: %s: %s", finding.Status, finding.ID, finding.Reason)
		}
	}
	return differences
}

// seeds is how many seeds the simulator is asked for, which span what chance can do.
const seeds = 60

// modelOf returns what the simulator holds possible of a case.
func modelOf(ctx context.Context, t *testing.T, c Case, sim Backend) Model {
	t.Helper()
	results := make([]Result, 0, seeds)
	for seed := range uint64(seeds) {
		results = append(results, resultOf(perform(ctx, t, c.Plan(t, seed+1), sim)))
	}
	return newModel(results)
}

// perform runs a plan and judges it, without a run folder.
func perform(
	ctx context.Context, t *testing.T, plan scenarios.Plan, backend Backend,
) *reports.Report {
	t.Helper()
	ctx = harness.WithTalk(ctx, func(line string) { t.Log(line) })
	analyzer := reports.NewAnalyzer(plan, record.Header{
		Version: record.Version, Scenario: plan.Scenario, Digest: plan.Digest(), Seed: plan.Seed,
		Backend: backend.Name(), Basis: backend.Basis(), Base: plan.Start,
	})
	require.NoError(t, harness.Run(ctx, plan, backend, analyzer, nil))
	report, err := reports.Judge(analyzer.Finish())
	require.NoError(t, err)
	return report
}
