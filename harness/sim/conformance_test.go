package sim_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/harnesstest"
	"github.com/certquake/certquake/harness/sim"
	"github.com/certquake/certquake/scenarios"
)

func TestConformance(t *testing.T) {
	for _, name := range []string{
		"akka-rotation", "ca-swap-bundle", "restart-during-swap", "jwks-rollback",
		"key-ring-no-primary-restart",
	} {
		t.Run(name, func(t *testing.T) {
			scenario, err := scenarios.Open(name, nil)
			require.NoError(t, err)
			plan, err := scenario.Plan(1)
			require.NoError(t, err)
			harnesstest.Conform(t, plan, func(*testing.T) harness.Backend { return sim.New() })
		})
	}
}
