package reports

import (
	"time"

	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/token"
)

// bounds is the longest times the plan allows a Secret to take to its pods: what the scenario says,
// else what the settings of kubelets and processes come to.
type bounds struct {
	pods    []time.Duration // by planned pod
	longest time.Duration
	// settled is, by planned pod, until nothing of what the Secret held before is in use, none when
	// nothing bounds that. It is as pods but for those who fetch a JWKS: they accept a new key as
	// soon as a token needs it, and see that one is gone when they fetch for another reason.
	settled []settling
}

// settling is how long something takes, if it is known to happen at all.
type settling struct {
	within time.Duration
	known  bool
	idle   bool // nothing happens, since nobody calls
}

func newBounds(plan scenarios.Plan, d *dials) bounds {
	byWorkload := plan.Bounds()
	fetched := map[string]settling{}
	for i := range plan.Tokens {
		if group := &plan.Tokens[i]; group.JWKS != nil {
			fetched[group.Workload] = fetchedBound(group, byWorkload[group.JWKS.From], d)
		}
	}
	var b bounds
	for _, pod := range plan.Pods {
		bound := byWorkload[pod.Workload]
		settled, fetches := fetched[pod.Workload]
		if !fetches {
			settled = settling{within: bound, known: true}
		}
		if within := plan.Expect.Propagation; within != nil {
			bound = time.Duration(within.Within)
			settled.within = bound
		}
		b.pods = append(b.pods, bound)
		b.settled = append(b.settled, settled)
		b.longest = max(b.longest, bound)
	}
	return b
}

// fetchedBound returns until when verifiers that fetch keys have fetched those of a Secret that is
// published within the given time. One that fetches on demand does so at its next call only.
func fetchedBound(
	group *scenarios.TokenGroup, published time.Duration, d *dials,
) settling {
	policy := group.JWKS.Policy()
	if policy.Kind == token.Background {
		return settling{within: published + policy.Interval, known: true}
	}
	demand := d.calledEvery(group.Workload)
	return settling{
		within: published + policy.MaxAge + demand,
		known:  policy.MaxAge > 0 && demand > 0,
		idle:   demand == 0,
	}
}

// of returns the bound of a planned pod.
func (b *bounds) of(pod int) time.Duration { return b.pods[pod] }
