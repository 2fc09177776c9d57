package reports

import (
	"math"
	"time"
)

// tick is how often a kubelet looks for pods that are due (pkg/kubelet/kubelet.go, syncLoop).
const tick = time.Second

// intervals is the law of the length L of a kubelet's sync intervals, U[s, 1.5s] rounded up to
// whole ticks of a second: P(L > k) is 1 below least, and from there to most falls along a line.
type intervals struct {
	least, most float64 // s and 1.5 s, rounded up
	first, fall float64 // P(L > least), and how much less each further P(L > k) is
	mean        float64 // E[L]
}

func newIntervals(sync time.Duration) intervals {
	up := func(d time.Duration) float64 { return float64((d + tick - 1) / tick) }
	i := intervals{least: up(sync), most: up(sync + sync/2)}
	half := sync.Seconds() / 2
	i.first, i.fall = (3*half-i.least)/half, 1/half
	i.mean = i.tails(i.most)[1]
	return i
}

// tails is P(L > k), its sum over all ticks before k, the sum of those sums, and once more.
type tails [4]float64

// after returns what the tails are m ticks on while P(L > k) falls by as much at each: Newton's
// series, whose coefficients are the binomials of m.
func (v tails) after(m, fall float64) tails {
	m2 := m * (m - 1) / 2
	m3 := m2 * (m - 2) / 3
	m4 := m3 * (m - 3) / 4
	return tails{
		v[0] - fall*m,
		v[1] + v[0]*m - fall*m2,
		v[2] + v[1]*m + v[0]*m2 - fall*m3,
		v[3] + v[2]*m + v[1]*m2 + v[0]*m3 - fall*m4,
	}
}

// tails returns the tails at the whole number k.
func (i intervals) tails(k float64) tails {
	v := tails{1}.after(min(k, i.least), 0)
	if k < i.least {
		return v
	}
	v[0] = i.first
	v = v.after(min(k, i.most)-i.least, i.fall)
	if k < i.most {
		return v
	}
	v[0] = 0
	return v.after(k-i.most, 0)
}

// rest returns the mean of R in seconds: R is below most, so it is the integral of P(R > x) to it.
func (i intervals) rest() float64 { return i.most - i.integral(i.most) }

// cdf is P(R <= x): linear between ticks, since the rest of a tick is uniform, with the share of
// P(L > k)/E[L] in each.
func (i intervals) cdf(x float64) float64 {
	v, f := i.at(x)
	return (v[1] + f*v[0]) / i.mean
}

// integral is the integral of cdf from 0. Up to a tick k it is the sum over j < k of the means of
// cdf within each, v[1]/2 being the halves of what those grow by.
func (i intervals) integral(x float64) float64 {
	v, f := i.at(x)
	return (v[2] + v[1]/2 + f*v[1] + f*f/2*v[0]) / i.mean
}

// integral2 is the integral of integral from 0.
func (i intervals) integral2(x float64) float64 {
	v, f := i.at(x)
	whole := v[3] + v[2] + v[1]/6
	return (whole + f*(v[2]+v[1]/2) + f*f/2*v[1] + f*f*f/6*v[0]) / i.mean
}

// at returns the tails at the last tick up to x, and how far x is beyond it. Below 0 all are 0.
func (i intervals) at(x float64) (v tails, beyond float64) {
	if x <= 0 {
		return tails{}, 0
	}
	k := math.Floor(x)
	return i.tails(k), x - k
}
