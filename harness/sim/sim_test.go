package sim_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

func TestLeafRotationIsHarmless(t *testing.T) {
	plan := setup{
		peers: 6, ttl: 5 * time.Minute, horizon: time.Hour,
		actions: []scenarios.Action{rotateLeaf(10 * time.Minute)},
	}.plan()
	got := perform(t, plan)
	want := map[record.Outcome]int64{record.OK: 6 * 36000}
	assert.Equal(t, want, got.attempts())
	var successes, reloads int
	for _, row := range got {
		switch {
		case row.Kind == record.Handshake:
			successes++
		case row.Kind == record.Reload && row.From < row.To:
			reloads++
			assert.Equal(t, "leaf/2", row.Own.Leaf)
		}
	}
	assert.Equal(t, 6, successes, "a span of successes runs on across a harmless rotation")
	assert.Equal(t, 6, reloads)
}

func TestAbruptSwapBreaksAndHeals(t *testing.T) {
	plan := setup{
		peers: 6, horizon: 30 * time.Minute,
		actions: []scenarios.Action{abruptSwap(10 * time.Minute)},
	}.plan()
	got := perform(t, plan)
	counts := got.attempts()
	assert.Positive(t, counts[record.UnknownAuthority])
	assert.Equal(t, int64(6*18000), counts[record.OK]+counts[record.UnknownAuthority],
		"every scheduled attempt has a row")
	for _, row := range got {
		if row.Kind == record.Handshake && row.Outcome.Failed() {
			assert.GreaterOrEqual(t, row.From, 10*time.Minute)
			assert.LessOrEqual(t, row.To, 10*time.Minute+91*time.Second)
			assert.NotEqual(t, row.Own.Trust, row.Other.Trust)
			assert.NotEmpty(t, row.Side)
		}
	}
}

func TestSameSeedGivesTheSameBytes(t *testing.T) {
	plan := setup{
		peers: 8, ttl: 5 * time.Minute, horizon: time.Hour, seed: 7,
		actions: []scenarios.Action{abruptSwap(10 * time.Minute)},
	}.plan()
	write := func() []byte { return recorded(t, plan) }
	first := write()
	assert.Greater(t, len(first), 10_000)
	assert.Equal(t, first, write())
	plan.Seed++
	assert.NotEqual(t, first, write())
}
