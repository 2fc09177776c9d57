package reports

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/certquake/certquake/reports/plots"
)

// leavesMax is the most generations that are told apart by colour. Of more, leaves are coloured by
// CA, and the colours of key rings repeat: those that pods have at one instant are near each other.
const leavesMax = 8

// lanesPlot is which leaf each pod used when. With many leaves in the window it is which CA had
// issued it, and with many pods a sample of them at equal steps.
func (a *Analysis) lanesPlot(w plots.Window) plots.Lanes {
	l := plots.Lanes{
		Title: "Which " + choose(a.traffic.peers, a.traffic.keys(), "certificate", "keys",
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
	if keys.repeat() {
		l.Caption += "; colours repeat"
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
	crowded bool           // there are more than colours
	rings   map[string]int // the colours of key rings, by name
	names   []string
}

// laneKeys names the colours of the pods' uses in the window: leaves in order of their names, key
// rings in that of their first use.
func (a *Analysis) laneKeys(pods []int, w plots.Window) laneKeys {
	k := laneKeys{rings: map[string]int{}}
	first := map[string]time.Duration{}
	for _, pod := range pods {
		ringed := a.ringed(pod)
		for i, u := range a.uses[pod] {
			if _, shown := a.laneSpan(pod, i, w); !shown || !ringed && len(first) > leavesMax {
				continue
			}
			name := a.laneName(pod, u.generation)
			if ringed {
				k.rings[name] = 0
			}
			if at, known := first[name]; !known || u.at < at {
				first[name] = u.at
			}
		}
	}
	names := slices.SortedFunc(maps.Keys(first), func(one, other string) int {
		if a.traffic.keys() { // the order of first use is that of the steps
			return cmp.Or(cmp.Compare(first[one], first[other]), cmp.Compare(one, other))
		}
		return cmp.Compare(one, other)
	})
	k.colour(names)
	return k
}

// colour gives each name a colour of its own or, when there are too many, has those of key rings
// go round.
func (k *laneKeys) colour(names []string) {
	if k.crowded = len(names) > leavesMax; !k.crowded {
		k.names = names
		return
	}
	more := ""
	if k.repeat() {
		more = ", …"
	}
	seen := 0
	for _, name := range names {
		if _, ring := k.rings[name]; !ring {
			continue
		}
		if seen < leavesMax {
			k.names = append(k.names, name+more)
		}
		k.rings[name] = seen % leavesMax
		seen++
	}
}

// repeat reports whether rings share colours.
func (k *laneKeys) repeat() bool { return len(k.rings) > leavesMax }

// laneName names what a pod used.
func (a *Analysis) laneName(pod, number int) string {
	generation := a.generations.at(number)
	name := leafOf(generation)
	switch {
	case a.ringed(pod):
		name = ringOf(generation)
	case generation.Trust != "":
		name += ", trusting " + generation.Trust
	}
	return name
}

// index returns the number of the colour of what a pod used.
func (k *laneKeys) index(a *Analysis, pod, number int) int {
	name := a.laneName(pod, number)
	if k.crowded {
		if colour, ring := k.rings[name]; ring {
			return colour
		}
		name = "issued by " + a.generations.at(number).Chain
	}
	if i := slices.Index(k.names, name); i >= 0 {
		return i
	}
	k.names = append(k.names, name)
	return len(k.names) - 1
}
