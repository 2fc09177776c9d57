package reports

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRecordedRuns judges recorded known-bad runs again, without any backend: what was found in
// them must stay found, to the last figure. Use -update after a change of the report, and read the
// difference.
func TestRecordedRuns(t *testing.T) {
	recorded, err := os.ReadDir("testdata/recorded")
	require.NoError(t, err)
	require.NotEmpty(t, recorded)
	for _, entry := range recorded {
		t.Run(entry.Name(), func(t *testing.T) {
			kept := filepath.Join("testdata/recorded", entry.Name())
			dir := t.TempDir()
			for _, name := range []string{PlanFile, RecordFile} {
				data, err := os.ReadFile(filepath.Join(kept, name))
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
			}
			r, err := Rebuild(dir)
			require.NoError(t, err)
			assert.True(t, r.AsExpected)
			assert.Equal(t, Fail, r.Verdict)
			got, err := os.ReadFile(filepath.Join(dir, JSONFile))
			require.NoError(t, err)
			golden(t, filepath.Join("recorded", entry.Name(), JSONFile), got)
		})
	}
}
