package reports

import (
	"math"

	"github.com/certquake/certquake/scenarios"
)

// Law is the distribution of the time from a Secret's write to its use by a pod, as the plan's
// settings alone determine it: a check on the record that owes nothing to the record.
//
// After a sync a pod is due again in U[s, 1.5s], s its kubelet's sync frequency, and the kubelet
// looks for pods that are due at its ticks, one a second. So an interval is L ticks, U[s, 1.5s]
// rounded up. A write at a random instant waits for the next tick and the K whole ones of the
// interval that are left then, R in all:
//
//	P(L > k) = 1                       for k < s
//	         = (1.5 s - k)/(0.5 s)     for s <= k <= 1.5 s
//	P(K = k) = P(L > k)/E[L]
//	R        = U[0, 1) + K             in seconds
//
// The longer s, the nearer R is to the rest of an interval without ticks, whose mean is 19/30 s; it
// is about a fourth of a second longer at 10 s and above. To R adds the age U[0, c) of the
// kubelet's cache, with change detection Cache, and the rest U[0, t) of the process's reload TTL or
// poll interval. The law of a plan is the mixture over its pods; those that read only when they
// start, or fetch keys rather than mounting them, have none and are left out. A paused kubelet or a
// changed setting is not in it: what such a fault does is to be seen beside the law.
type Law struct {
	parts []part
	pods  int
}

// part is the law of a number of equal pods, in seconds.
type part struct {
	intervals intervals
	spread    [2]float64 // widths of the uniform delays added, 0 for none
	pods      int
}

// NewLaw returns the law of the plan.
func NewLaw(plan scenarios.Plan) Law {
	var law Law
	nodes := map[string]scenarios.PlannedNode{}
	for _, node := range plan.Nodes {
		nodes[node.Name] = node
	}
	consumers := map[string]scenarios.Consumer{}
	for _, consumer := range plan.Consumers() {
		consumers[consumer.Workload] = consumer
	}
	for _, pod := range plan.Pods {
		law.add(nodes[pod.Node], consumers[pod.Workload])
	}
	return law
}

// unplaced says why no time is told by planned node; it returns nothing when some is.
func (a *Analysis) unplaced() string {
	if why := a.unpredicted(); why != "" || !a.placed {
		return why
	}
	return "Pods ran where the cluster's scheduler put them, so no time is told by planned node."
}

// unpredicted says why the law of the plan tells nothing of the run, nor the planned node of a pod
// where it ran; it returns nothing when they do.
func (a *Analysis) unpredicted() string {
	if len(a.unlike) == 0 {
		return ""
	}
	return "Pods ran on other nodes than the plan's, so nothing is predicted from the planned " +
		"settings and no time is told by planned node."
}

// add adds one pod.
func (l *Law) add(node scenarios.PlannedNode, consumer scenarios.Consumer) {
	if node.SyncFrequency <= 0 {
		return
	}
	next := part{intervals: newIntervals(node.SyncFrequency), pods: 1}
	if node.ChangeDetection == scenarios.Cache {
		next.spread[0] = node.CacheTTL.Seconds()
	}
	switch consumer.Policy {
	case "lazy-ttl", "poll":
		next.spread[1] = consumer.Every.Seconds()
	case "start-up", "":
		return
	}
	l.pods++
	for i := range l.parts {
		if l.parts[i].intervals == next.intervals && l.parts[i].spread == next.spread {
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
// given seconds. It has every pod wait for a tick of its own, where pods of one node have theirs in
// common: the time is wrong by less than that second.
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

func (p part) mean() float64 { return p.intervals.rest() + (p.spread[0]+p.spread[1])/2 }

func (p part) max() float64 { return p.intervals.most + p.spread[0] + p.spread[1] }

// cdf is the distribution of R averaged over each uniform delay: with one delay of width t,
// (G(x) - G(x-t))/t for G its integral, and so on once more with two.
func (p part) cdf(x float64) float64 {
	a, b := p.spread[0], p.spread[1]
	if a == 0 {
		a, b = b, 0
	}
	r := p.intervals
	switch {
	case x <= 0:
		return 0
	case x >= p.max():
		return 1
	case a == 0:
		return r.cdf(x)
	case b == 0:
		return (r.integral(x) - r.integral(x-a)) / a
	}
	sum := r.integral2(x) - r.integral2(x-a) - r.integral2(x-b) + r.integral2(x-a-b)
	return sum / (a * b)
}

// rounded returns seconds to a millisecond: the law's figures are shown beside samples.
func rounded(x float64) Seconds { return Seconds(math.Round(x*1e3) / 1e3) }
