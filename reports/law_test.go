package reports

import (
	"fmt"
	"math"
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
		Peers: []scenarios.PeerGroup{{
			Consumer: scenarios.Consumer{Workload: "p", Policy: policy, Every: every},
		}},
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

// Derived by hand: T of U[s, 1.5s] rounded up is L, whose shares are given; then P(R <= x) is the
// mean of min(L, x) over that of L at whole x, linear between, and E[R] = E[L²]/2E[L].
func TestLawOfTicks(t *testing.T) {
	type share struct{ seconds, want float64 }
	for _, row := range []struct {
		sync      time.Duration
		mean, max float64
		shares    []share
	}{
		// L = 2
		{time.Second, 1, 2, []share{{0.5, 0.25}, {1, 0.5}, {1.7, 0.85}, {2, 1}}},
		// L = 3
		{2 * time.Second, 1.5, 3, []share{{0.3, 0.1}, {2, 2. / 3}, {2.7, 0.9}, {3, 1}}},
		// L = 3 in 0.4 and 4 in 0.6 of all
		{2500 * time.Millisecond, 11. / 6, 4, []share{
			{1.5, 1.5 / 3.6}, {3, 3 / 3.6}, {3.5, 3.3 / 3.6}, {3.9, 3.54 / 3.6}, {4, 1},
		}},
		// L = 11 to 15, each in a fifth
		{10 * time.Second, 171. / 26, 15, []share{
			{6.5, 0.5}, {11, 11. / 13}, {12, 11.8 / 13}, {13.5, 12.6 / 13}, {15, 1},
		}},
		// L = 61 to 90, each in a thirtieth
		{time.Minute, (75.5*75.5 + 899./12) / 151, 90, []share{
			{37.75, 0.5},
			{61, 61 / 75.5},
			{62, (61 + 29./30) / 75.5},
			{89, 1 - 1/30./75.5},
			{90, 1},
		}},
	} {
		t.Run(row.sync.String(), func(t *testing.T) {
			law := lawOf(1, row.sync, 0, 0, "watch")
			assert.InDelta(t, row.mean, law.Mean(), 1e-9)
			assert.InDelta(t, row.max, law.Max(), 0)
			for _, at := range row.shares {
				assert.InDelta(t, at.want, law.CDF(at.seconds), 1e-9, "within %v s", at.seconds)
				if at.want < 1 {
					assert.InDelta(t, at.seconds, law.Quantile(at.want), 2e-6)
				}
			}
		})
	}
}

// The integrals in the law are those of its distribution, summed here by Simpson's rule over pieces
// on which they are polynomials of the third degree at most, which it is exact for.
func TestLawIntegrals(t *testing.T) {
	for _, sync := range []time.Duration{
		300 * time.Millisecond, time.Second, 2500 * time.Millisecond, 7 * time.Second, time.Minute,
	} {
		i := newIntervals(sync)
		for _, row := range []struct{ of, integral func(float64) float64 }{
			{i.cdf, i.integral}, {i.integral, i.integral2},
		} {
			total := 0.0
			for k := range int(i.most) + 3 {
				const width = 0.5
				for low := float64(k); low < float64(k+1); low += width {
					total += width / 6 * (row.of(low) + 4*row.of(low+width/2) + row.of(low+width))
					assert.InEpsilon(t, total, row.integral(low+width), 1e-9,
						"%v, up to %v", sync, low+width)
				}
			}
		}
		assert.InDelta(t, 1, i.cdf(i.most), 1e-12)
	}
}

// The closed forms without ticks, checked by a million draws, are where the law goes as intervals
// grow: at 1m it is off them by less than half a tick.
func TestLaw(t *testing.T) {
	kubelet := lawOf(1, time.Minute, 0, 0, "watch")
	akka := lawOf(1, time.Minute, 0, 5*time.Minute, "lazy-ttl")
	for _, row := range []struct {
		name      string
		got, want float64
		within    float64
	}{
		{"kubelet mean", kubelet.Mean(), 38.0, 0.25},
		{"kubelet p50", kubelet.Quantile(0.5), 37.5, 0.3},
		{"kubelet p90", kubelet.Quantile(0.9), 68.8, 0.5},
		{"kubelet p99", kubelet.Quantile(0.99), 83.3, 0.5},
		{"kubelet p99.9", kubelet.Quantile(0.999), 87.9, 0.5},
		{"kubelet max", kubelet.Max(), 90, 0},
		{"akka mean", akka.Mean(), 188, 0.5},
		{"akka p50", akka.Quantile(0.5), 188, 0.5},
		{"akka p90", akka.Quantile(0.9), 308, 1},
		{"akka p99", akka.Quantile(0.99), 355, 1.5},
		{"akka p99.9", akka.Quantile(0.999), 374, 1},
		{"akka max", akka.Max(), 390, 0},
		{"expired at renewBefore 5m", 1 - akka.CDF(300), 0.126, 0.002},
		{"kgateway's 65s", 1 - kubelet.CDF(65), 0.139, 0.005},
	} {
		t.Run(row.name, func(t *testing.T) {
			assert.InDelta(t, row.want, row.got, row.within+1e-9)
		})
	}
	hour := lawOf(1, time.Hour, 0, 0, "watch")
	assert.InEpsilon(t, 3600*19./30, hour.Mean(), 2e-4)
	assert.InEpsilon(t, 0.2, 1-hour.CDF(3600), 2e-3)
}

// The fleet figures are of draws, and of kubelets without ticks, so they hold to a few per mille
// and half a tick only.
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
			assert.InDelta(t, row.mean, law.FleetMean(), 0.5+0.005*row.mean)
			assert.InDelta(t, row.p99, law.FleetQuantile(0.99), 0.5+0.007*row.p99)
		})
	}
}

// With a cache and a TTL the distribution has two integrals more than is easy to get right: it is
// held against a million draws.
func TestLawAgainstDraws(t *testing.T) {
	const seed, draws = 11, 1_000_000
	law := lawOf(1, 3*time.Second, 4*time.Second, 5*time.Second, "poll")
	dice := scenarios.Rand(seed, "law")
	limits := []float64{0.3, 1, 2, 3.5, 4.2, 5, 6, 8, 10, 13}
	counts := make([]float64, len(limits))
	for range draws {
		// A random instant falls into an interval with odds in proportion to its length: draw
		// intervals until one accepts.
		interval := math.Ceil(3 + 1.5*dice.Float64())
		for dice.Float64()*5 > interval {
			interval = math.Ceil(3 + 1.5*dice.Float64())
		}
		took := interval*dice.Float64() + 4*dice.Float64() + 5*dice.Float64()
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
