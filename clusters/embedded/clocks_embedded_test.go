//go:build linux && embedded

package embedded_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/harnesstest"
	"github.com/certquake/certquake/harness/record"
)

// TestNodeClocks has the clocks of nodes compared that are one and the same: what is measured must
// be within what is claimed of it, and correct nothing.
func TestNodeClocks(t *testing.T) {
	plan := planned(t, "restart-during-swap", 60)
	var rows harnesstest.Rows
	require.NoError(t, harness.Run(t.Context(), plan, backend(), &rows, nil))
	found := map[string][]record.Span{}
	for _, row := range rows {
		if row.Kind == record.NodeClock {
			found[row.Source] = append(found[row.Source], row)
		}
	}
	assert.Len(t, found, len(plan.Nodes))
	for node, compared := range found {
		require.Len(t, compared, 2, node)
		assert.Zero(t, compared[0].To, node)
		assert.Equal(t, plan.Horizon, compared[1].To, node)
		for _, row := range compared {
			t.Logf("%s at %s: %s ±%s (%s)", node, row.To, row.Skew, row.Uncertainty, row.Detail)
			assert.Equal(t, record.OK, row.Outcome, row.Detail)
			assert.Positive(t, row.Uncertainty)
			assert.LessOrEqual(t, row.Skew.Abs(), row.Uncertainty, row)
			assert.Zero(t, row.Correction(), row)
		}
	}
}
