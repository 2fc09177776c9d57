package sim_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/harness/sim"
	"github.com/certquake/certquake/scenarios"
)

// sum adds up the credential failures of a setup over seeds.
func sum(t *testing.T, s setup) (n int64) {
	t.Helper()
	for seed := range seeds(3) {
		s.seed = seed
		n += perform(t, s.plan()).failures()
	}
	return n
}

func TestMetamorphicLeafRotationNeverFails(t *testing.T) {
	for _, sync := range []time.Duration{time.Second, time.Minute, 5 * time.Minute} {
		for _, ttl := range []time.Duration{0, 10 * time.Second, 5 * time.Minute} {
			got := sum(t, setup{
				peers: 5, sync: sync, ttl: ttl, horizon: 2 * time.Hour,
				actions: []scenarios.Action{rotateLeaf(10 * time.Minute), rotateLeaf(time.Hour)},
			})
			assert.Zero(t, got, "syncFrequency %s, TTL %s", sync, ttl)
		}
	}
}

// TestMetamorphicHold: a bundle swap is safe with holds at the worst propagation and above, not
// below, and the shorter the hold the more it breaks.
func TestMetamorphicHold(t *testing.T) {
	for _, c := range []struct {
		name         string
		ttl, settled time.Duration
		holds        []time.Duration // falling
	}{
		{
			"kubelet", 0, 91 * time.Second,
			[]time.Duration{65 * time.Second, 45 * time.Second, 20 * time.Second, 0},
		},
		{
			"kubelet and TTL", 5 * time.Minute, 391300 * time.Millisecond,
			// Not 300s: reads that are as far apart as the steps find every step at one phase.
			[]time.Duration{270 * time.Second, 200 * time.Second, 91 * time.Second, 0},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			swap := func(hold time.Duration) int64 {
				return sum(t, setup{
					peers: 12, ttl: c.ttl, horizon: 45 * time.Minute,
					actions: bundleSwap(10*time.Minute, hold),
				})
			}
			assert.Zero(t, swap(c.settled), "hold %s", c.settled)
			assert.Zero(t, swap(2*c.settled), "hold %s", 2*c.settled)
			last := int64(0)
			for _, hold := range c.holds {
				got := swap(hold)
				assert.Positive(t, got, "hold %s", hold)
				assert.GreaterOrEqual(t, got, last, "hold %s", hold)
				last = got
			}
		})
	}
}

func TestMetamorphicFirstCertBreaksEveryHold(t *testing.T) {
	got := sum(t, setup{
		peers: 8, trust: "first-cert", horizon: time.Hour,
		actions: bundleSwap(10*time.Minute, 15*time.Minute),
	})
	assert.Positive(t, got)
}

func TestMetamorphicSlowerNeverBreaksLess(t *testing.T) {
	abrupt := func(sync, ttl time.Duration) int64 {
		return sum(t, setup{
			peers: 10, sync: sync, ttl: ttl, horizon: 45 * time.Minute,
			actions: []scenarios.Action{abruptSwap(10 * time.Minute)},
		})
	}
	t.Run("syncFrequency grows", func(t *testing.T) {
		last := int64(0)
		for _, sync := range []time.Duration{
			time.Second, 10 * time.Second, time.Minute, 3 * time.Minute,
		} {
			got := abrupt(sync, 0)
			assert.Greater(t, got, last, "syncFrequency %s", sync)
			last = got
		}
	})
	t.Run("TTL grows", func(t *testing.T) {
		last := int64(0)
		for _, ttl := range []time.Duration{0, time.Minute, 5 * time.Minute, 10 * time.Minute} {
			got := abrupt(time.Minute, ttl)
			assert.Greater(t, got, last, "TTL %s", ttl)
			last = got
		}
	})
}

// anySetup draws a plan with any mix of faults.
func anySetup(rt *rapid.T) setup {
	draw := func(name string, low, high time.Duration) time.Duration {
		return time.Duration(rapid.Int64Range(int64(low), int64(high)).Draw(rt, name))
	}
	s := setup{
		peers:       rapid.IntRange(2, 6).Draw(rt, "peers"),
		sync:        draw("sync", time.Second, 2*time.Minute),
		ttl:         rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(rt, "ttl"),
		trust:       rapid.SampledFrom([]string{"bundle", "first-cert"}).Draw(rt, "trust"),
		dialEvery:   draw("every", 10*time.Millisecond, 5*time.Second),
		duration:    time.Hour + draw("duration", 0, time.Hour),
		renewBefore: 5*time.Minute + draw("renewBefore", 0, 30*time.Minute),
		horizon:     3 * time.Hour,
		seed:        rapid.Uint64().Draw(rt, "seed"),
	}
	for i := range rapid.IntRange(0, 5).Draw(rt, "faults") {
		at := draw("at", 0, 2*time.Hour)
		fault := rapid.SampledFrom([]scenarios.Action{
			rotateLeaf(at), abruptSwap(at),
			{
				Verb: scenarios.RestartPods, Pods: []string{"peers-0"},
				Mode: "pod", Downtime: at / 100,
			},
			{Verb: scenarios.SetClock, Pods: []string{"peers-1"}, Skew: at - time.Hour},
			{Verb: scenarios.PauseSync, Node: "node"},
			{Verb: scenarios.ResumeSync, Node: "node"},
			{Verb: scenarios.StopIssuer},
			{Verb: scenarios.StartIssuer},
			{Verb: scenarios.RemoveSecret, Secrets: []string{leafSecret}},
			{Verb: scenarios.WriteTornPair, Secrets: []string{leafSecret}},
			{Verb: scenarios.StopAPI},
			{Verb: scenarios.StartAPI},
			{Verb: scenarios.StopNode, Node: "node"},
			{Verb: scenarios.StartNode, Node: "node"},
			{
				Verb: scenarios.DisturbNetwork, Pods: []string{"peers-1"},
				Network: &scenarios.NetworkTrouble{Cut: true},
			},
			{
				Verb: scenarios.DisturbNetwork, Pods: []string{"peers-0"},
				Network: &scenarios.NetworkTrouble{Delay: at / 10_000, Loss: 0.2},
			},
			{Verb: scenarios.RestoreNetwork, Pods: []string{"peers-0"}},
			{Verb: scenarios.RestoreNetwork, Pods: []string{"peers-1"}},
			{Verb: scenarios.StopWebhook},
			{Verb: scenarios.StartWebhook},
		}).Draw(rt, "fault")
		fault.At, fault.Fault = at, i
		s.actions = append(s.actions, fault)
	}
	return s
}

// TestMetamorphicConservation: whatever happens, every attempt that the schedule holds is recorded
// exactly once, rows are within the run, and failures carry what both ends held.
func TestMetamorphicConservation(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := anySetup(rt)
		plan := s.plan()
		var got rows
		if err := harness.Run(t.Context(), plan, sim.New(), &got, nil); err != nil {
			rt.Fatal(err)
		}
		counted := map[string]int64{}
		for _, row := range got {
			if row.From > row.To || row.To > plan.Horizon {
				rt.Fatalf("row outside the run: %+v", row)
			}
			if row.Kind == record.Handshake {
				counted[row.Source] += row.Count
			}
			if row.Outcome.Credential() && row.Kind == record.Handshake &&
				(row.Own == nil || row.Other == nil || row.Side == "") {
				rt.Fatalf("a failure without its cause: %+v", row)
			}
		}
		if want := scheduled(plan); !assert.ObjectsAreEqual(want, counted) {
			rt.Fatalf("%v attempts recorded, %v scheduled", counted, want)
		}
	})
}

// scheduled counts each source's attempts one by one.
func scheduled(plan scenarios.Plan) map[string]int64 {
	want := map[string]int64{}
	for _, stream := range plan.Streams {
		for at := stream.Phase; at < plan.Horizon; at += stream.Every {
			want[stream.Source]++
		}
	}
	return want
}

// TestMetamorphicDeterminism: any plan gives the same rows twice, on the same backend too.
func TestMetamorphicDeterminism(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		plan := anySetup(rt).plan()
		backend := sim.New()
		var first, second rows
		for _, into := range []*rows{&first, &second} {
			if err := harness.Run(t.Context(), plan, backend, into, nil); err != nil {
				rt.Fatal(err)
			}
		}
		if !assert.ObjectsAreEqual(first, second) {
			rt.Fatal("two runs of one plan differ")
		}
	})
}
