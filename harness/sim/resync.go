package sim

import (
	"math/rand/v2"
	"sort"
	"time"

	"github.com/certquake/certquake/scenarios"
)

// tick is how often a kubelet's sync loop looks for pods that are due (pkg/kubelet/kubelet.go,
// syncLoop).
const tick = time.Second

// ticks are the instants at which a kubelet looks for pods that are due: a tick apart, at a random
// phase, which is its process's and so the same for all its pods. The tenths of a second from a
// tick to the swap of the files move all swaps of a kubelet alike, so the phase stands for them
// too.
type ticks struct {
	phase time.Duration // from 0 to below tick
	dice  *rand.Rand
}

func newTicks(seed uint64, node string) ticks {
	t := ticks{dice: scenarios.Rand(seed, "kubelet/"+node+"/tick")}
	t.restart()
	return t
}

// restart is a new process of the kubelet.
func (t *ticks) restart() { t.phase = time.Duration(t.dice.Int64N(int64(tick))) }

// from returns the first tick at or after the offset.
func (t *ticks) from(offset time.Duration) time.Duration {
	past := (offset - t.phase) % tick
	if past > 0 {
		past -= tick
	}
	return offset - past
}

// resyncs is the timeline of one pod worker's resyncs. After each the pod is due once more in
// syncFrequency to 1.5 times it (pkg/kubelet/pod_workers.go, workerResyncIntervalJitterFactor) and
// is synced at the first tick from then on. The timeline is advanced lazily: a year of resyncs that
// find nothing costs one draw each and no event.
type resyncs struct {
	due   time.Duration
	every time.Duration // syncFrequency
	ticks *ticks        // of its kubelet
	dice  *rand.Rand
}

// draw returns after how long the pod is due again.
func (r *resyncs) draw() time.Duration {
	return r.every + time.Duration(r.dice.Float64()*0.5*float64(r.every))
}

// after returns the first resync at or after t. Calls must not go back in time.
func (r *resyncs) after(t time.Duration) time.Duration {
	next := r.ticks.from(r.due)
	for next < t {
		r.due = next + r.draw()
		next = r.ticks.from(r.due)
	}
	return next
}

// dueFor returns when the pod is due for the first resync at or after t.
func (r *resyncs) dueFor(t time.Duration) time.Duration {
	r.after(t)
	return r.due
}

// restart has a resync at t, tick or not, and the following ones from there.
func (r *resyncs) restart(t time.Duration) { r.due = t + r.draw() }

// firstDue returns when a pod of the syncFrequency is due first, in whole ticks: that many pass
// before the one at which it is synced.
//
// The plan's SyncDue is drawn by the law of a kubelet that looks all the time, D with
// P(D > d) = E[max(T - d, 0)]/E[T] for T of U[s, 1.5s]. Intervals of L = ceil(T) ticks have
// another: K with P(K >= k) = E[max(L - k, 0)]/E[L]. The plan's draw keeps its rank: K is the
// quantile of its law that D is of the other. A timeline that begins so is stationary.
func firstDue(due, every time.Duration) time.Duration {
	s := float64(every) / float64(tick)
	least, most := whole(every), whole(every+every/2)
	// before returns the sum of P(L > j) over j < k, which is E[min(L, k)].
	before := func(k int) float64 {
		if k <= least {
			return float64(k)
		}
		beyond := float64(k - least)
		return float64(least) + beyond*(1.5*s-float64(least+k-1)/2)/(0.5*s)
	}
	rank := residualRank(float64(due)/float64(tick), s) * before(most)
	k := sort.Search(most-1, func(k int) bool { return before(k+1) > rank })
	return time.Duration(k) * tick
}

// residualRank returns the share of the law of D at or below d, for intervals U[s, 1.5s].
func residualRank(d, s float64) float64 {
	if d <= s {
		return d / (1.25 * s)
	}
	rest := max(1.5*s-d, 0)
	return 1 - rest*rest/(1.25*s*s)
}

// whole returns the duration in ticks, rounded up.
func whole(d time.Duration) int { return int((d + tick - 1) / tick) }
