package reports

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPreview(t *testing.T) {
	dir := os.Getenv("PREVIEW")
	if dir == "" {
		t.Skip()
	}
	plan := swapPlan()
	a, err := Analyze(plan, headerOf(plan), rowsOf(swapRows(plan)))
	require.NoError(t, err)
	r, err := Judge(a)
	require.NoError(t, err)
	require.NoError(t, Render(dir, a, r))
}
