package suite

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/e2e-framework/pkg/features"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/reports"
	"github.com/certquake/certquake/scenarios"
)

// Options say how a scenario is performed. The zero value performs it as it is written, with
// seed 1.
type Options struct {
	Seed  uint64            // 0 is 1
	Speed float64           // every duration is divided by it, see scenarios.Plan.Faster; 0 is 1
	Set   map[string]string // parameters of the scenario
	// Runs is the folder in which the run gets a folder of its own, <scenario>-<seed>, with the
	// plan, the record, the reports and junit.xml. An earlier run in that is replaced. When empty,
	// it is the test's artifact folder, which go test keeps with -artifacts.
	Runs string
}

// Label is the label of the features that Scenario makes. Its values are the scenarios' names, for
// the -labels of e2e-framework.
const Label = "certquake"

// Scenario returns a feature that performs a scenario on the cluster that is up: one of the library
// by its name, or one of yours by the path of its file, such as testdata/swap.yaml. Its only step
// fails unless the verdict is the one that the scenario expects, for the reason that it expects. It
// leaves the report in the context, for steps that you add: see Report.
func Scenario(source string, o Options) *features.FeatureBuilder {
	name := strings.TrimSuffix(filepath.Base(source), filepath.Ext(source))
	return features.New(name).WithLabel(Label, name).Assess("rotation is as safe as expected",
		func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
			t.Helper()
			plan, err := o.plan(source)
			require.NoError(t, err)
			return perform(ctx, t, plan, o.Runs)
		})
}

// plan reads and plans a scenario.
func (o Options) plan(source string) (scenarios.Plan, error) {
	scenario, err := open(source, o.Set)
	if err != nil {
		return scenarios.Plan{}, err
	}
	plan, err := scenario.Plan(max(o.Seed, 1))
	if err != nil {
		return scenarios.Plan{}, fmt.Errorf("%s: %w", source, err)
	}
	if o.Speed == 0 {
		return plan, nil
	}
	if plan, err = plan.Faster(o.Speed); err != nil {
		return scenarios.Plan{}, fmt.Errorf("%s: %w", source, err)
	}
	return plan, nil
}

// open reads a scenario of the library, or a file.
func open(source string, set map[string]string) (*scenarios.Scenario, error) {
	if filepath.Ext(source) == "" {
		return scenarios.Open(source, set)
	}
	data, err := os.ReadFile(source) //nolint:gosec // the file that the test names
	if err != nil {
		return nil, fmt.Errorf("read the scenario: %w", err)
	}
	return scenarios.Parse(source, data, os.DirFS(filepath.Dir(source)), set)
}

// perform runs the plan on the cluster of ctx and asserts that it ends as expected.
func perform(
	ctx context.Context, t *testing.T, plan scenarios.Plan, runs string,
) context.Context {
	t.Helper()
	c, err := in(ctx)
	require.NoError(t, err)
	c.using.Lock()
	defer c.using.Unlock()
	require.NoError(t, context.Cause(ctx))
	if left, ok := timeLeft(t, c.backend); ok && left < plan.Horizon+overhead {
		require.FailNowf(t, "no time for the scenario", "%s takes %s and up to %s around it, and "+
			"go test ends in %s: give it a longer -timeout, or raise Options.Speed",
			plan.Scenario, plan.Horizon, overhead, left.Round(time.Second))
	}
	dir, where := folder(t, plan, runs)
	said := harness.WithTalk(ctx, func(line string) { t.Log(line) })
	report, err := run(said, plan, c.backend, dir)
	if report != nil {
		tell(t, report)
		t.Logf("report: %s", where)
	}
	require.NoError(t, err)
	require.Truef(t, report.AsExpected, "%s: the verdict is %s, expected %s",
		plan.Scenario, report.Verdict, report.Expected)
	return context.WithValue(ctx, reportKey{}, report)
}

// folder returns the run folder, and where to look for the report in the end.
func folder(t *testing.T, plan scenarios.Plan, runs string) (dir, where string) {
	t.Helper()
	name := fmt.Sprintf("%s-%d", plan.Scenario, plan.Seed)
	if runs != "" {
		dir = filepath.Join(runs, name)
		return dir, filepath.Join(dir, reports.HTMLFile)
	}
	dir = filepath.Join(t.ArtifactDir(), name)
	if kept := flag.Lookup("test.artifacts"); kept == nil || kept.Value.String() != "true" {
		return dir, "go test -artifacts keeps it, or a folder in Options.Runs"
	}
	return dir, filepath.Join(dir, reports.HTMLFile)
}

// overhead is how long the start of a scenario's pods and the clean-up may take.
const overhead = time.Minute

// timeLeft returns how long go test lets its tests go on, if it does not let them for ever and the
// backend takes as long as a plan says.
func timeLeft(t *testing.T, backend Performer) (left time.Duration, limited bool) {
	t.Helper()
	end, limited := t.Deadline()
	return time.Until(end), limited && backend.Basis() == record.Measured
}

// tell logs the verdict, and what made it a surprise. Of a run that is not complete everything is
// inconclusive for one reason, which its error has.
func tell(t *testing.T, report *reports.Report) {
	t.Helper()
	t.Logf("%s: %s", report.Scenario, report.Sentence())
	if report.AsExpected {
		return
	}
	say := func(status reports.Status, name, reason string) {
		if status == reports.Fail || status == reports.Inconclusive && report.Complete {
			t.Logf("%s: %s: %s", status, name, reason)
		}
	}
	for _, finding := range report.Findings {
		say(finding.Status, string(finding.ID), finding.Reason)
	}
	for _, condition := range report.Conditions {
		say(condition.Status, condition.Name, condition.Reason)
	}
	t.Logf("reproduce: %s", report.Reproduce)
}

type reportKey struct{}

// Report returns the report of the scenario before, nil if there was none.
func Report(ctx context.Context) *reports.Report {
	report, _ := ctx.Value(reportKey{}).(*reports.Report)
	return report
}
