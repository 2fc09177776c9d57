package reports

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/reports/plots"
	"github.com/certquake/certquake/workloads/rotation"
)

// leavesMax is the most generations that are told apart by colour. Of more, leaves are coloured by
// CA and key rings by the step of their rotation.
const leavesMax = 8

// lanesPlot is which leaf each pod used when. With many leaves in the window it is which CA had
// issued it, and with many pods a sample of them at equal steps.
func (a *Analysis) lanesPlot(w plots.Window) plots.Lanes {
	l := plots.Lanes{
		Title: "Which " + choose(a.traffic.peers, a.traffic.tokens, "certificate", "keys",
			"certificate or keys") + " each pod used when",
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
			span.Key = keys.index(a, pod, a.uses[pod][i].generation)
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
	byAuthority bool // or by step
	names       []string
}

// laneKeys names the colours of the pods' uses in the window: leaves in order of their names, key
// rings in that of their first use.
func (a *Analysis) laneKeys(pods []int, w plots.Window) laneKeys {
	leaves := laneKeys{}
	first := map[string]time.Duration{}
	for _, pod := range pods {
		for i, u := range a.uses[pod] {
			if _, shown := a.laneSpan(pod, i, w); shown && len(leaves.names) <= leavesMax {
				name := leaves.names[leaves.index(a, pod, u.generation)]
				if at, known := first[name]; !known || u.at < at {
					first[name] = u.at
				}
			}
		}
	}
	if len(leaves.names) > leavesMax {
		return laneKeys{byAuthority: true}
	}
	slices.SortFunc(leaves.names, func(one, other string) int {
		if a.traffic.tokens { // the order of first use is that of the steps
			return cmp.Or(cmp.Compare(first[one], first[other]), cmp.Compare(one, other))
		}
		return cmp.Compare(one, other)
	})
	return leaves
}

// index returns the number of the colour of a generation that a pod used.
func (k *laneKeys) index(a *Analysis, pod, number int) int {
	generation := a.generations.at(number)
	name := leafOf(generation)
	if generation.Trust != "" {
		name += ", trusting " + generation.Trust
	}
	switch tokens := a.tokensOf(pod) != nil; {
	case tokens && k.byAuthority:
		name = stepOf(generation)
	case tokens:
		name = ringOf(generation)
	case k.byAuthority:
		name = "issued by " + generation.Chain
	}
	if i := slices.Index(k.names, name); i >= 0 {
		return i
	}
	k.names = append(k.names, name)
	return len(k.names) - 1
}

// stepOf returns the step of its rotation that a key ring is at.
func stepOf(generation record.Generation) string {
	keys := authorities(generation.Trust)
	primary := slices.Index(keys, generation.Leaf)
	if len(keys) != 2 || primary < 0 {
		return plural(int64(len(keys)), "key")
	}
	switch order, known := rotation.Order(idOf(keys[primary]), idOf(keys[1-primary])); {
	case !known:
		return "two keys"
	case order < 0:
		return "two keys, of which the older signs"
	}
	return "two keys, of which the newer signs"
}
