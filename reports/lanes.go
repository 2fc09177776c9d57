package reports

import (
	"fmt"
	"slices"

	"github.com/certquake/certquake/reports/plots"
)

// leavesMax is the most leaf generations that are told apart by colour; more are coloured by CA.
const leavesMax = 8

// lanesPlot is which leaf each pod used when. With many leaves in the window it is which CA had
// issued it, and with many pods a sample of them at equal steps.
func (a *Analysis) lanesPlot(w plots.Window) plots.Lanes {
	l := plots.Lanes{
		Title:   "Which certificate each pod used when",
		Caption: a.signature(),
		Window:  w,
		Marks:   a.marks(w),
	}
	pods := a.sample()
	keys := a.laneKeys(pods, w)
	if len(pods) < len(a.plan.Pods) {
		l.Caption += fmt.Sprintf("; %d of %d pods", len(pods), len(a.plan.Pods))
	}
	for _, pod := range pods {
		lane := plots.Lane{Name: a.plan.Pods[pod].Name}
		for i := range a.uses[pod] {
			span, shown := a.laneSpan(pod, i, w)
			if !shown {
				continue
			}
			span.Key = keys.index(a, a.uses[pod][i].generation)
			lane.Spans = join(lane.Spans, span)
		}
		l.Rows = append(l.Rows, lane)
	}
	l.Keys = keys.names
	return l
}

// sample returns the pods that are drawn.
func (a *Analysis) sample() []int {
	n := len(a.plan.Pods)
	shown := min(n, lanesMax)
	pods := make([]int, shown)
	for i := range pods {
		pods[i] = i * n / shown
	}
	return pods
}

// laneSpan returns the stretch of the i-th use of a pod if the window shows any of it.
func (a *Analysis) laneSpan(pod, i int, w plots.Window) (plots.LaneSpan, bool) {
	u := a.uses[pod][i]
	span := plots.LaneSpan{
		From: u.at, To: a.until(pod, i), Bad: a.generations.at(u.generation).Torn,
	}
	return span, span.To > w.From && span.From < w.To
}

// join appends a stretch, or lengthens the last one when it only goes on.
func join(spans []plots.LaneSpan, next plots.LaneSpan) []plots.LaneSpan {
	if n := len(spans); n > 0 {
		last := &spans[n-1]
		if last.To == next.From && last.Key == next.Key && last.Bad == next.Bad {
			last.To = next.To
			return spans
		}
	}
	return append(spans, next)
}

// laneKeys tells which uses share a colour.
type laneKeys struct {
	byAuthority bool
	names       []string
}

// laneKeys names the colours of the pods' uses in the window, in order of first use.
func (a *Analysis) laneKeys(pods []int, w plots.Window) laneKeys {
	leaves := laneKeys{}
	for _, pod := range pods {
		for i := range a.uses[pod] {
			if _, shown := a.laneSpan(pod, i, w); shown && len(leaves.names) <= leavesMax {
				leaves.index(a, a.uses[pod][i].generation)
			}
		}
	}
	if len(leaves.names) > leavesMax {
		return laneKeys{byAuthority: true}
	}
	slices.Sort(leaves.names)
	return leaves
}

// index returns the number of a generation's colour.
func (k *laneKeys) index(a *Analysis, number int) int {
	generation := a.generations.at(number)
	name := leafOf(generation)
	if generation.Trust != "" {
		name += ", trusting " + generation.Trust
	}
	if k.byAuthority {
		name = "issued by " + generation.Chain
	}
	if i := slices.Index(k.names, name); i >= 0 {
		return i
	}
	k.names = append(k.names, name)
	return len(k.names) - 1
}
