package cli_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/harness/sim"
	"github.com/certquake/certquake/reports"
	"github.com/certquake/certquake/scenarios"
)

// Every scenario of the library ends on the simulator as it says, and the one that is labelled with
// a check trips it. Together they reach every outcome of new connections that they can.
func TestLibrary(t *testing.T) {
	t.Parallel()
	var mutex sync.Mutex
	reached := map[record.Outcome]int64{}
	t.Cleanup(func() {
		for _, outcome := range record.Outcomes() {
			if !slices.Contains(beyond, outcome) {
				assert.Positive(t, reached[outcome], outcome)
			}
		}
	})
	for _, name := range scenarios.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scenario, report := judged(t, name)
			mutex.Lock()
			for outcome, count := range report.Outcomes {
				reached[outcome] += count
			}
			mutex.Unlock()
			assert.True(t, report.Complete)
			assert.True(t, report.AsExpected, report.Sentence())
			if check := scenarios.CheckID(scenario.Metadata.Labels["check"]); check != "" {
				assert.Equal(t, tripped(check), statusOf(t, report, check), report.Sentence())
			}
		})
	}
}

// beyond are the outcomes that no scenario of the library leads to on the simulator: its peers
// always present a certificate that is well-formed, its issuers tokens that are meant for their
// verifiers, and no connection is reset.
var beyond = []record.Outcome{
	record.CertificateRequired, record.BadCertificate, record.TokenRefused, record.Canceled,
	record.Other,
}

// judged runs a scenario of the library on the simulator.
func judged(t *testing.T, name string) (*scenarios.Scenario, *reports.Report) {
	t.Helper()
	scenario, err := scenarios.Open(name, nil)
	require.NoError(t, err)
	plan, err := scenario.Plan(1)
	require.NoError(t, err)
	return scenario, judge(t, plan)
}

// judge runs a plan on the simulator.
func judge(t *testing.T, plan scenarios.Plan) *reports.Report {
	t.Helper()
	backend := sim.New()
	analyzer := reports.NewAnalyzer(plan, record.Header{
		Version: record.Version, Scenario: plan.Scenario, Digest: plan.Digest(), Seed: plan.Seed,
		Backend: backend.Name(), Basis: backend.Basis(), Base: plan.Start,
	})
	require.NoError(t, harness.Run(t.Context(), plan, backend, analyzer, nil))
	report, err := reports.Judge(analyzer.Finish())
	require.NoError(t, err)
	return report
}

// tripped is the status of a check in its known-bad scenario. Without proof nothing is known, good
// or bad.
func tripped(check scenarios.CheckID) reports.Status {
	if check == scenarios.Proof {
		return reports.Inconclusive
	}
	return reports.Fail
}

func statusOf(t *testing.T, report *reports.Report, check scenarios.CheckID) reports.Status {
	t.Helper()
	for _, finding := range report.Findings {
		if finding.ID == check {
			return finding.Status
		}
	}
	t.Fatalf("no finding %s", check)
	return ""
}

// A check that cannot fail proves nothing, and a fault that is in no scenario is not tried: the
// library has each of them.
func TestLibraryCovers(t *testing.T) {
	t.Parallel()
	var checks []scenarios.CheckID
	faults := map[string]bool{}
	for _, name := range scenarios.Names() {
		scenario, err := scenarios.Open(name, nil)
		require.NoError(t, err)
		checks = append(checks, scenarios.CheckID(scenario.Metadata.Labels["check"]))
		for _, fault := range scenario.Spec.Faults {
			faults[kindOf(fault)] = true
		}
	}
	for _, check := range scenarios.Checks() {
		assert.Contains(t, checks, check)
	}
	for _, kind := range scenarios.FaultKinds() {
		assert.True(t, faults[kind.Name], "no scenario has the fault %s", kind.Name)
	}
}

// kindOf returns the name of the fault's kind.
func kindOf(fault scenarios.Fault) string {
	switch {
	case fault.RotateLeaf != nil:
		return "rotateLeaf"
	case fault.SwapCA != nil:
		return "swapCA"
	case fault.HoldSync != nil:
		return "holdSync"
	case fault.SetKubelet != nil:
		return "setKubelet"
	case fault.Restart != nil:
		return "restart"
	case fault.SkewClock != nil:
		return "skewClock"
	case fault.IssuerOutage != nil:
		return "issuerOutage"
	case fault.DeleteSecret != nil:
		return "deleteSecret"
	case fault.TruncateBundle != nil:
		return "truncateBundle"
	case fault.TearPair != nil:
		return "tearPair"
	case fault.APIOutage != nil:
		return "apiOutage"
	case fault.WebhookOutage != nil:
		return "webhookOutage"
	case fault.DisturbNetwork != nil:
		return "disturbNetwork"
	case fault.StopNode != nil:
		return "stopNode"
	case fault.RotateKeys != nil:
		return "rotateKeys"
	case fault.ReplaceKeys != nil:
		return "replaceKeys"
	case fault.SpoilKeys != nil:
		return "spoilKeys"
	case fault.OperatorOutage != nil:
		return "operatorOutage"
	}
	return ""
}
