package scenarios_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/scenarios"
)

// TestTrackRecord: the README's table of reproduced incidents names every library scenario that has
// an incident label, with the verdict it expects, and no other.
func TestTrackRecord(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	row := regexp.MustCompile(
		"(?m)^\\|[^|]*\\|[^|]*\\| ((?:`[a-z0-9-]+`(?:, )?)+) \\| ([^|]*) \\|$")
	name := regexp.MustCompile("`([a-z0-9-]+)`")
	claimed := map[string]string{}
	for _, found := range row.FindAllStringSubmatch(string(readme), -1) {
		for _, scenario := range name.FindAllStringSubmatch(found[1], -1) {
			claimed[scenario[1]] = found[2]
		}
	}
	var missing []string
	for _, name := range scenarios.Names() {
		s, err := scenarios.Open(name, nil)
		require.NoError(t, err)
		verdict, listed := claimed[name]
		delete(claimed, name)
		if s.Metadata.Labels["incident"] == "" {
			continue
		}
		if !listed {
			missing = append(missing, name)
			continue
		}
		plan, err := s.Plan(1)
		require.NoError(t, err)
		assert.Contains(t, verdict, plan.Expect.Verdict, name)
		assert.Contains(t, verdict, plan.Expect.Because, name)
	}
	assert.Empty(t, missing, "incidents without a row in the track record")
	assert.Empty(t, claimed, "rows that name no library scenario")
}
