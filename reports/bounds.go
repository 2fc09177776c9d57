package reports

import (
	"time"

	"github.com/certquake/certquake/scenarios"
)

// bounds is the longest times the plan allows a Secret to take to its pods: what the scenario says,
// else what the settings of kubelets and processes come to.
type bounds struct {
	pods    []time.Duration // by planned pod
	longest time.Duration
}

func newBounds(plan scenarios.Plan) bounds {
	byWorkload := plan.Bounds()
	var b bounds
	for _, pod := range plan.Pods {
		bound := byWorkload[pod.Workload]
		if within := plan.Expect.Propagation; within != nil {
			bound = time.Duration(within.Within)
		}
		b.pods = append(b.pods, bound)
		b.longest = max(b.longest, bound)
	}
	return b
}

// of returns the bound of a planned pod.
func (b *bounds) of(pod int) time.Duration { return b.pods[pod] }
