package reports

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/certquake/certquake/scenarios"
)

// lawOf is the law of equal pods.
func lawOf(pods int, sync, cache, every time.Duration, policy string) Law {
	plan := scenarios.Plan{
		Nodes: []scenarios.PlannedNode{{
			Name: "n", SyncFrequency: sync, ChangeDetection: scenarios.Watch,
		}},
		Peers: []scenarios.PeerGroup{{Workload: "p", Policy: policy, Every: every}},
	}
	if cache > 0 {
		plan.Nodes[0].ChangeDetection, plan.Nodes[0].CacheTTL = scenarios.Cache, cache
	}
	for i := range pods {
		plan.Pods = append(plan.Pods, scenarios.Pod{
			Name: fmt.Sprint("p-", i), Workload: "p", Node: "n",
		})
	}
	return NewLaw(plan)
}

// The numbers were derived by hand and checked by a million draws.
func TestLaw(t *testing.T) {
	kubelet := lawOf(1, time.Minute, 0, 0, "watch")
	akka := lawOf(1, time.Minute, 0, 5*time.Minute, "lazy-ttl")
	for _, row := range []struct {
		name      string
		got, want float64
		within    float64
	}{
		{"kubelet mean", kubelet.Mean(), 38.0, 0.05},
		{"kubelet p50", kubelet.Quantile(0.5), 37.5, 0.05},
		{"kubelet p90", kubelet.Quantile(0.9), 68.8, 0.05},
		{"kubelet p99", kubelet.Quantile(0.99), 83.3, 0.05},
		{"kubelet p99.9", kubelet.Quantile(0.999), 87.9, 0.05},
		{"kubelet max", kubelet.Max(), 90, 0},
		{"akka mean", akka.Mean(), 188, 0.5},
		{"akka p50", akka.Quantile(0.5), 188, 0.5},
		{"akka p90", akka.Quantile(0.9), 308, 0.5},
		{"akka p99", akka.Quantile(0.99), 355, 1},
		{"akka p99.9", akka.Quantile(0.999), 374, 0.5},
		{"akka max", akka.Max(), 390, 0},
		{"expired at renewBefore 5m", 1 - akka.CDF(300), 0.126, 0.002},
		{"kgateway's 65s", 1 - kubelet.CDF(65), 0.139, 0.001},
	} {
		t.Run(row.name, func(t *testing.T) {
			assert.InDelta(t, row.want, row.got, row.within+1e-9)
		})
	}
}

// The fleet figures are of draws, so they hold to a few per mille only.
func TestFleetLaw(t *testing.T) {
	for _, row := range []struct {
		pods      int
		ttl       time.Duration
		mean, p99 float64
	}{
		{3, 0, 57.7, 85.8},
		{10, 0, 71.6, 87.9},
		{100, 0, 84.0, 89.6},
		{1000, 0, 88.1, 89.8},
		{3, 5 * time.Minute, 266, 365},
		{10, 5 * time.Minute, 317, 372},
		{100, 5 * time.Minute, 359, 384},
		{1000, 5 * time.Minute, 376, 389},
	} {
		t.Run(fmt.Sprint(row.pods, " pods, ttl ", row.ttl), func(t *testing.T) {
			law := lawOf(row.pods, time.Minute, 0, row.ttl, "lazy-ttl")
			assert.InEpsilon(t, row.mean, law.FleetMean(), 0.005)
			assert.InEpsilon(t, row.p99, law.FleetQuantile(0.99), 0.007)
		})
	}
}

// With a cache and a TTL the distribution has two integrals more than is easy to get right: it is
// held against a million draws.
func TestLawAgainstDraws(t *testing.T) {
	const seed, draws = 11, 1_000_000
	law := lawOf(1, 20*time.Second, 30*time.Second, 45*time.Second, "poll")
	dice := scenarios.Rand(seed, "law")
	limits := []float64{1, 5, 10, 20, 25, 40, 60, 80, 95, 104}
	counts := make([]float64, len(limits))
	for range draws {
		// A random instant falls into an interval with odds in proportion to its length: draw
		// intervals until one accepts.
		interval := 20 + 10*dice.Float64()
		for dice.Float64()*30 > interval {
			interval = 20 + 10*dice.Float64()
		}
		took := interval*dice.Float64() + 30*dice.Float64() + 45*dice.Float64()
		for i, limit := range limits {
			if took <= limit {
				counts[i]++
			}
		}
	}
	for i, limit := range limits {
		assert.InDelta(t, counts[i]/draws, law.CDF(limit), 0.002, "at %v s, seed %d", limit, seed)
	}
}

func TestLawLeavesOutStartUp(t *testing.T) {
	law := lawOf(3, time.Minute, 0, 0, "start-up")
	assert.Equal(t, Quantiles{}, law.Quantiles())
	assert.Zero(t, law.CDF(1000))
}
