package reports

import (
	"math"

	"github.com/certquake/certquake/scenarios"
)

// Law is the distribution of the time from a Secret's write to its use by a pod, as the plan's
// settings alone determine it: a check on the record that owes nothing to the record.
//
// A kubelet syncs a pod at intervals U[s, 1.5s], s its sync frequency. A write at a random instant
// waits for the rest R of the current one:
//
//	P(R > r) = 1 - r/(1.25 s)               for r <= s
//	         = (1.5 s - r)² / (1.25 s²)     for s <= r <= 1.5 s
//
// To it adds the age U[0, c) of the kubelet's cache, with change detection Cache, and the rest
// U[0, t) of the process's reload TTL or poll interval. The law of a plan is the mixture over its
// pods; those that read only when they start have none and are left out. A paused kubelet or a
// changed setting is not in it: what such a fault does is to be seen beside the law.
type Law struct {
	parts []part
	pods  int
}

// part is the law of a number of equal pods, in seconds.
type part struct {
	sync   float64
	spread [2]float64 // widths of the uniform delays added, 0 for none
	pods   int
}

// NewLaw returns the law of the plan.
func NewLaw(plan scenarios.Plan) Law {
	var law Law
	nodes := map[string]scenarios.PlannedNode{}
	for _, node := range plan.Nodes {
		nodes[node.Name] = node
	}
	groups := map[string]scenarios.PeerGroup{}
	for _, group := range plan.Peers {
		groups[group.Workload] = group
	}
	for _, pod := range plan.Pods {
		law.add(nodes[pod.Node], groups[pod.Workload])
	}
	return law
}

// add adds one pod.
func (l *Law) add(node scenarios.PlannedNode, group scenarios.PeerGroup) {
	next := part{sync: node.SyncFrequency.Seconds(), pods: 1}
	if node.ChangeDetection == scenarios.Cache {
		next.spread[0] = node.CacheTTL.Seconds()
	}
	switch group.Policy {
	case "lazy-ttl", "poll":
		next.spread[1] = group.Every.Seconds()
	case "start-up", "":
		return
	}
	if next.sync <= 0 {
		return
	}
	l.pods++
	for i := range l.parts {
		if l.parts[i].sync == next.sync && l.parts[i].spread == next.spread {
			l.parts[i].pods++
			return
		}
	}
	l.parts = append(l.parts, next)
}

// CDF returns the share of propagations that take at most the given seconds.
func (l Law) CDF(x float64) float64 {
	total := 0.0
	for _, p := range l.parts {
		total += p.cdf(x) * float64(p.pods)
	}
	if l.pods == 0 {
		return 0
	}
	return total / float64(l.pods)
}

// FleetCDF returns the probability that every pod of the plan has taken a write into use after the
// given seconds.
func (l Law) FleetCDF(x float64) float64 {
	product := 1.0
	for _, p := range l.parts {
		product *= math.Pow(p.cdf(x), float64(p.pods))
	}
	return product
}

// Mean returns the mean propagation in seconds.
func (l Law) Mean() float64 {
	total := 0.0
	for _, p := range l.parts {
		total += p.mean() * float64(p.pods)
	}
	return total / math.Max(float64(l.pods), 1)
}

// Max returns the longest possible propagation in seconds.
func (l Law) Max() float64 {
	longest := 0.0
	for _, p := range l.parts {
		longest = math.Max(longest, p.max())
	}
	return longest
}

// Quantile returns the seconds that the share q of propagations does not exceed.
func (l Law) Quantile(q float64) float64 { return l.invert(l.CDF, q) }

// FleetQuantile returns the seconds after which the whole fleet has converged with probability q.
func (l Law) FleetQuantile(q float64) float64 { return l.invert(l.FleetCDF, q) }

// FleetMean returns the mean time for the whole fleet to converge, in seconds.
func (l Law) FleetMean() float64 {
	const steps = 4096 // of the midpoint rule, far more than the three digits that are shown
	width := l.Max() / steps
	total := 0.0
	for i := range steps {
		total += (1 - l.FleetCDF((float64(i)+0.5)*width)) * width
	}
	return total
}

// Quantiles sums the law up as a sample of it would be; its count is the number of pods it covers.
func (l Law) Quantiles() Quantiles {
	return Quantiles{
		Count: int64(l.pods),
		Mean:  rounded(l.Mean()),
		P50:   rounded(l.Quantile(0.5)),
		P90:   rounded(l.Quantile(0.9)),
		P99:   rounded(l.Quantile(0.99)),
		Max:   rounded(l.Max()),
	}
}

// invert returns where an ascending function reaches q, by bisection to a microsecond.
func (l Law) invert(cdf func(float64) float64, q float64) float64 {
	low, high := 0.0, l.Max()
	for high-low > 1e-6 {
		middle := (low + high) / 2
		if cdf(middle) < q {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

func (p part) mean() float64 { return p.sync*19/30 + (p.spread[0]+p.spread[1])/2 }

func (p part) max() float64 { return 1.5*p.sync + p.spread[0] + p.spread[1] }

// cdf is the residual's distribution averaged over each uniform delay: with one delay of width t,
// (G(x) - G(x-t))/t for G its integral, and so on once more with two.
func (p part) cdf(x float64) float64 {
	a, b := p.spread[0], p.spread[1]
	if a == 0 {
		a, b = b, 0
	}
	switch {
	case x <= 0:
		return 0
	case x >= p.max():
		return 1
	case a == 0:
		return p.residual(x)
	case b == 0:
		return (p.residual1(x) - p.residual1(x-a)) / a
	}
	sum := p.residual2(x) - p.residual2(x-a) - p.residual2(x-b) + p.residual2(x-a-b)
	return sum / (a * b)
}

// residual is the distribution of the rest of a sync interval.
func (p part) residual(x float64) float64 {
	s := p.sync
	switch {
	case x <= 0:
		return 0
	case x <= s:
		return x / (1.25 * s)
	case x <= 1.5*s:
		return 1 - (1.5*s-x)*(1.5*s-x)/(1.25*s*s)
	}
	return 1
}

// residual1 is the integral of residual from 0.
func (p part) residual1(x float64) float64 {
	s := p.sync
	switch {
	case x <= 0:
		return 0
	case x <= s:
		return x * x / (2.5 * s)
	case x <= 1.5*s:
		return 0.4*s + (x - s) + (cube(1.5*s-x)-cube(0.5*s))/(3.75*s*s)
	}
	return p.residual1(1.5*s) + x - 1.5*s
}

// residual2 is the integral of residual1 from 0.
func (p part) residual2(x float64) float64 {
	s := p.sync
	switch {
	case x <= 0:
		return 0
	case x <= s:
		return cube(x) / (7.5 * s)
	case x <= 1.5*s:
		d, rest := x-s, 1.5*s-x
		bend := (cube(0.5*s)*0.5*s-cube(rest)*rest)/4 - cube(0.5*s)*d
		return s*s/7.5 + 0.4*s*d + d*d/2 + bend/(3.75*s*s)
	}
	e := x - 1.5*s
	return p.residual2(1.5*s) + p.residual1(1.5*s)*e + e*e/2
}

func cube(x float64) float64 { return x * x * x }

// rounded returns seconds to a millisecond: the law's figures are shown beside samples.
func rounded(x float64) Seconds { return Seconds(math.Round(x*1e3) / 1e3) }
