// Package harnesstest is the conformance suite that every backend passes: what a record promises,
// whatever world it comes from. Call Conform from the backend's own tests.
package harnesstest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// Rows is a Sink that keeps every row.
type Rows []record.Span

// Write implements record.Sink.
func (r *Rows) Write(span record.Span) error {
	*r = append(*r, span)
	return nil
}

// Conform holds a backend against the contract of harness.Backend and of the record. The plan must
// have load and at least one action, and leave the backend time to prove each before the horizon.
// open returns a fresh backend for each part.
func Conform(t *testing.T, plan scenarios.Plan, open func(*testing.T) harness.Backend) {
	t.Helper()
	t.Run("complete run", func(t *testing.T) {
		var rows Rows
		require.NoError(t, harness.Run(t.Context(), plan, open(t), &rows, nil))
		require.NotEmpty(t, rows)
		assert.Equal(t, record.End, rows[len(rows)-1].Kind, "the last row tells of completion")
		assert.Equal(t, plan.Horizon, rows[len(rows)-1].To)
		whole(t, plan, rows)
		balanced(t, plan, rows, plan.Horizon)
		proven(t, plan, rows)
		held(t, plan, rows)
	})
	t.Run("interrupted run", func(t *testing.T) { interrupted(t, plan, open(t)) })
	t.Run("failing record", func(t *testing.T) {
		err := harness.Run(t.Context(), plan, open(t), fullDisk{}, nil)
		assert.ErrorIs(t, err, errFull)
	})
}

// whole checks each row by itself.
func whole(t *testing.T, plan scenarios.Plan, rows Rows) {
	t.Helper()
	pods := map[string]bool{}
	for _, pod := range plan.Pods {
		pods[pod.Name] = true
	}
	for i, row := range rows {
		assert.LessOrEqual(t, row.From, row.To, "row %d", i)
		assert.LessOrEqual(t, row.To, plan.Horizon, "row %d", i)
		if !streamed(row) && row.Kind != record.Associate {
			continue
		}
		assert.Positive(t, row.Count, "row %d", i)
		assert.True(t, pods[row.Source], "row %d: source %q", i, row.Source)
		assert.Contains(t, record.Outcomes(), row.Outcome, "row %d", i)
		if row.Outcome.Credential() {
			assert.NotNil(t, row.Own, "row %d: what the source held", i)
			// Without a token to call with nobody is called.
			if row.Kind != record.Request || row.Side == record.Server {
				assert.NotNil(t, row.Other, "row %d: what the peer held", i)
			}
			assert.Contains(t, []record.Side{record.Client, record.Server}, row.Side, "row %d", i)
		}
	}
}

// streamed reports whether the row is of attempts that a stream has due.
func streamed(row record.Span) bool {
	return row.Kind == record.Handshake || row.Kind == record.Request
}

// balanced checks that every attempt due before the offset has exactly one row.
func balanced(t *testing.T, plan scenarios.Plan, rows Rows, until time.Duration) {
	t.Helper()
	recorded := map[string]int64{}
	for _, row := range rows {
		if streamed(row) {
			recorded[row.Source] += row.Count
		}
	}
	due := map[string]int64{}
	for _, stream := range plan.Streams {
		due[stream.Source] += plan.Attempts(stream, until)
	}
	assert.Equal(t, due, recorded, "attempts by source")
}

// proven checks that every action was accepted at its time and seen to take effect after it.
func proven(t *testing.T, plan scenarios.Plan, rows Rows) {
	t.Helper()
	accepted, proof := map[string]time.Duration{}, map[string]time.Duration{}
	for _, row := range rows {
		switch row.Kind { //nolint:exhaustive // the other kinds name no action
		case record.Act:
			accepted[row.Action] = row.From
		case record.Proof:
			proof[row.Action] = row.From
		}
	}
	for _, action := range plan.Actions {
		assert.Contains(t, accepted, action.ID)
		assert.GreaterOrEqual(t, accepted[action.ID], action.At, action.ID)
		assert.Contains(t, proof, action.ID, "its proof")
		assert.GreaterOrEqual(t, proof[action.ID], action.At, action.ID)
	}
}

// held checks that the record tells what every pod held from the start.
func held(t *testing.T, plan scenarios.Plan, rows Rows) {
	t.Helper()
	loaded := map[string]bool{}
	for _, row := range rows {
		if row.Kind == record.Reload && row.Outcome == record.OK {
			assert.NotEmpty(t, row.Own.Leaf, "leaf of %s", row.Source)
			assert.NotEmpty(t, row.Own.Trust, "trust of %s", row.Source)
			loaded[row.Source] = true
		}
	}
	assert.Len(t, loaded, len(plan.Pods), "pods that told what they loaded")
}

// interrupted cancels a run at its first action: what was recorded stays, and is not complete.
func interrupted(t *testing.T, plan scenarios.Plan, backend harness.Backend) {
	t.Helper()
	require.NotEmpty(t, plan.Actions)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var rows Rows
	err := harness.Run(ctx, plan, backend, &rows,
		func(_ time.Duration, action *scenarios.Action) {
			if action != nil {
				cancel()
			}
		})
	require.ErrorIs(t, err, context.Canceled)
	require.NotEmpty(t, rows)
	for i, row := range rows {
		assert.NotEqual(t, record.End, row.Kind, "row %d", i)
	}
	whole(t, plan, rows)
}

// fullDisk is a Sink that takes nothing.
type fullDisk struct{}

var errFull = errors.New("no space left on device")

func (fullDisk) Write(record.Span) error { return errFull }
