package kube

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	own := errors.New("no node is called fast")
	action := func(a scenarios.Action) func(*scenarios.Plan) {
		a.ID = "x[0]/y"
		return func(p *scenarios.Plan) { p.Actions = append(p.Actions, a) }
	}
	tests := []struct {
		name   string
		change func(*scenarios.Plan)
		check  error
		want   string // "" for none
	}{
		{"nothing to refuse", func(*scenarios.Plan) {}, nil, ""},
		{"a day", func(p *scenarios.Plan) { p.Horizon = 24 * time.Hour }, nil, ""},
		{
			"more than a day", func(p *scenarios.Plan) { p.Horizon = 25 * time.Hour }, nil,
			"small takes 25h0m0s of wall time; use --backend sim",
		},
		{
			"a Secret that nobody makes",
			func(p *scenarios.Plan) { p.Peers[0].Secret = "default/other" }, nil,
			"workload a: no Certificate makes Secret default/other",
		},
		{
			"a verb of other clusters", action(scenarios.Action{Verb: scenarios.StopAPI}), nil,
			"x[0]/y: stop-api is not possible on test",
		},
		{
			"one issuer",
			action(scenarios.Action{Verb: scenarios.StopIssuer, Issuer: "default/root"}), nil,
			"x[0]/y: one issuer cannot be put out of order here, only cert-manager as a whole: " +
				"leave out issuer, or use --backend sim",
		},
		{
			"an issuer that fails",
			action(scenarios.Action{Verb: scenarios.StopIssuer, Mode: scenarios.OutageFail}), nil,
			"x[0]/y: cert-manager can be stopped here, but not made to fail: " +
				"use mode stop, or --backend sim",
		},
		{"an issuer that stops", action(scenarios.Action{Verb: scenarios.StopIssuer}), nil, ""},
		{"what the cluster itself refuses", func(*scenarios.Plan) {}, own, own.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			backend := New(Provider{
				Name: "test", Verbs: []scenarios.Verb{scenarios.StopIssuer},
				Check: func(scenarios.Plan) error {
					if tt.check == nil {
						return nil
					}
					return fmt.Errorf("%w: %w", harness.ErrUnsupported, tt.check)
				},
			})
			err := backend.Check(smallPlan(tt.change))
			if tt.want == "" {
				assert.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, harness.ErrUnsupported)
			assert.EqualError(t, err, "not supported by this backend: "+tt.want)
		})
	}
}

// Every problem is told at once, and what any cluster can do needs no Provider's word.
func TestCheckTellsAll(t *testing.T) {
	t.Parallel()
	backend := New(Provider{Name: "test"})
	assert.Equal(t, "test", backend.Name())
	assert.Equal(t, record.Measured, backend.Basis())
	plan := smallPlan(func(p *scenarios.Plan) {
		p.Horizon = 25 * time.Hour
		for _, verb := range slices.Sorted(maps.Keys(performers())) {
			p.Actions = append(p.Actions, scenarios.Action{ID: "x", Verb: verb})
		}
		p.Actions = append(p.Actions, scenarios.Action{ID: "y", Verb: scenarios.PauseSync})
	})
	err := backend.Check(plan)
	assert.EqualError(t, err, "not supported by this backend: small takes 25h0m0s of wall time; "+
		"use --backend sim\n"+
		"not supported by this backend: y: pause-sync is not possible on test")
}

// A scenario that takes too long is told to hurry only if it can.
func TestCheckAdvisesSpeed(t *testing.T) {
	t.Parallel()
	check := func(plan scenarios.Plan) error { return New(Provider{Name: "test"}).Check(plan) }
	require.EqualError(t, check(scenarios.Plan{Scenario: "long", Horizon: 30 * time.Hour}),
		"not supported by this backend: long takes 30h0m0s of wall time; scale it down by "+
			"--speed, or use --backend sim")
	scenario, err := scenarios.Open("year-bomb", nil)
	require.NoError(t, err)
	plan, err := scenario.Plan(1)
	require.NoError(t, err)
	require.ErrorContains(t, check(plan), "wall time; use --backend sim")
}
