package cli_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/scenarios"
)

// unhurried are the scenarios of the library that 10 times the speed would make something else of.
var unhurried = []string{
	"ca-reissue-leaf-stale", "issuer-outage-long", "issuer-outage-short", "renew-before-too-tight",
	"start-up-only", "webhook-outage-renewal", "year-bomb", // renewals
	"with-conditions",                         // conditions on times and counts
	"jwks-stampede", "jwks-stampede-cooldown", // conditions on rates
	"propagation-law", // a sync of 5 s would be shorter than the tick
}

// TestFasterScenariosEndTheSame: what can be performed at 10 times the speed ends on the simulator
// as at the speed it is written for, check by check.
func TestFasterScenariosEndTheSame(t *testing.T) {
	t.Parallel()
	for _, name := range scenarios.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scenario, err := scenarios.Open(name, nil)
			require.NoError(t, err)
			const seed = 1
			plan, err := scenario.Plan(seed)
			require.NoError(t, err)
			fast, err := plan.Faster(10)
			if slices.Contains(unhurried, name) {
				require.ErrorIs(t, err, scenarios.ErrSpeed)
				return
			}
			require.NoError(t, err)
			want, got := judge(t, plan), judge(t, fast)
			assert.True(t, got.AsExpected, got.Sentence())
			assert.Equal(t, want.Verdict, got.Verdict)
			for i, finding := range want.Findings {
				assert.Equal(t, finding.Status, got.Findings[i].Status, "%s: %s; at speed 10: %s",
					finding.ID, finding.Reason, got.Findings[i].Reason)
			}
			assert.InEpsilon(t, float64(want.Balance.Scheduled)/10,
				float64(got.Balance.Scheduled), 0.01, "dials come as often as before")
			assert.Contains(t, got.Reproduce, " --speed 10")
			assert.NotContains(t, want.Reproduce, "--speed")
		})
	}
}

// TestQuickScenariosAreQuick: those that are made for wall time take 90 s at most at some speed.
func TestQuickScenariosAreQuick(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"api-outage-get", "api-outage-watch", "quick-ca-swap-abrupt", "quick-ca-swap-bundle",
		"quick-clock-skew", "quick-issuer-outage", "quick-leaf-rotation", "quick-set-kubelet",
		"webhook-outage-short", "webhook-outage-torn-pair",
	} {
		scenario, err := scenarios.Open(name, nil)
		require.NoError(t, err)
		plan, err := scenario.Plan(1)
		require.NoError(t, err)
		fast, err := plan.Faster(10)
		require.NoError(t, err, name)
		assert.LessOrEqual(t, fast.Horizon.Seconds(), 90.0, name)
	}
}
