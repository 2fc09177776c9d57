package reports

import (
	"slices"
	"time"

	"github.com/certquake/certquake/scenarios"
)

// disturbance is when the network of pods was disturbed towards all others.
type disturbance struct {
	stretch
	pods []int
}

// unheardFor is how long after its network is restored a connection may yet end for what was lost
// before: keep-alives are a second apart.
const unheardFor = time.Second

// disturbances returns when the plan's faults disturbed the network. That they did as planned,
// their proofs tell.
func (a *Analysis) disturbances() []disturbance {
	var all []disturbance
	for _, action := range a.plan.Actions {
		if action.Verb != scenarios.DisturbNetwork {
			continue
		}
		margin := a.underWay()
		d := disturbance{stretch: stretch{action.At - margin, a.plan.Horizon}}
		for _, name := range action.Pods {
			d.pods = append(d.pods, a.pods.index(name))
		}
		if end, ends := a.plan.EndOf(action); ends {
			d.to = max(end.At, a.proofs[end.ID]) + margin + unheardFor
		}
		all = append(all, d)
	}
	return all
}

// disturbedBetween returns when the network between two pods was disturbed: by a fault that names
// one of them and not the other.
func (a *Analysis) disturbedBetween(source, peer int) []stretch {
	var all []stretch
	for _, d := range a.disturbed {
		if slices.Contains(d.pods, source) != slices.Contains(d.pods, peer) {
			all = append(all, d.stretch)
		}
	}
	return all
}
