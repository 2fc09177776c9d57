package scenarios_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/scenarios"
)

// Every scenario of the library can be read and planned, and says what it is about.
func TestLibrary(t *testing.T) {
	t.Parallel()
	require.NotEmpty(t, scenarios.Names())
	for _, name := range scenarios.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scenario, err := scenarios.Open(name, nil)
			require.NoError(t, err)
			assert.Equal(t, name, scenario.Metadata.Name)
			assert.NotEmpty(t, scenario.Metadata.Labels["family"])
			plan, err := scenario.Plan(1)
			require.NoError(t, err)
			assert.NotEmpty(t, plan.Streams)
			for _, action := range plan.Actions {
				assert.Less(t, action.At, plan.Horizon, action.ID)
				assert.NotEmpty(t, action.Note, action.ID)
			}
		})
	}
}

// A check that cannot fail proves nothing: each has a scenario that must trip it.
func TestEveryCheckHasKnownBadScenario(t *testing.T) {
	t.Parallel()
	trips := map[scenarios.CheckID]string{}
	for _, name := range scenarios.Names() {
		scenario, err := scenarios.Open(name, nil)
		require.NoError(t, err)
		check := scenarios.CheckID(scenario.Metadata.Labels["check"])
		if check == "" {
			continue
		}
		require.True(t, check.Known(), "%s: %s", name, check)
		trips[check] = name
		expect := scenario.Spec.Expect
		if check == scenarios.Proof {
			assert.Equal(t, scenarios.VerdictInconclusive, expect.Verdict, name)
			continue
		}
		assert.Equal(t, scenarios.VerdictFail, expect.Verdict, name)
		assert.Equal(t, string(check), expect.Because, name)
	}
	for _, check := range scenarios.Checks() {
		assert.Contains(t, trips, check)
		assert.NotEmpty(t, check.Sentence())
	}
}

func TestOpenUnknown(t *testing.T) {
	t.Parallel()
	_, err := scenarios.Open("ca-swap-abrubt", nil)
	require.ErrorIs(t, err, scenarios.ErrUnknownScenario)
	require.EqualError(t, err, `no such scenario in the library: "ca-swap-abrubt"; `+
		`did you mean "ca-swap-abrupt"?`)
	_, err = scenarios.Open("../secret", nil)
	require.ErrorIs(t, err, scenarios.ErrUnknownScenario)
}
