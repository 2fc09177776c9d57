package reports

import (
	"time"

	"github.com/certquake/certquake/reports/plots"
)

// incident returns the stretch of the outage that holds the worst moment, with room around it, when
// it is so short within the run that a picture of the whole would hide it.
func (a *Analysis) incident() (plots.Window, bool) {
	at, broken := a.worst()
	if broken == 0 {
		return plots.Window{}, false
	}
	core := stretch{at, at}
	gap := a.bounds.longest // outages that close are one incident
	for _, outage := range a.outages() {
		if outage.from <= core.to+gap && outage.to >= core.from-gap && outage.from <= at+gap {
			core = stretch{min(core.from, outage.from), max(core.to, outage.to)}
		}
	}
	room := max((core.to-core.from)/4, 30*time.Second)
	window := plots.Window{From: max(core.from-room, 0), To: min(core.to+room, a.horizon())}
	return window, 4*(window.To-window.From) < a.horizon()
}

// horizon returns the end of every picture of the whole run.
func (a *Analysis) horizon() time.Duration { return max(a.reached, time.Second) }

// run returns the window of the whole run.
func (a *Analysis) run() plots.Window { return plots.Window{To: a.horizon()} }

// marks returns the plan's actions in the window. Of many repetitions of the same step, as an
// hourly rotation for a year makes, the labels would be noise: then they have none.
func (a *Analysis) marks(w plots.Window) []plots.Mark {
	var marks []plots.Mark
	for _, action := range a.plan.Actions {
		if action.At >= w.From && action.At <= w.To {
			marks = append(marks, plots.Mark{At: action.At, Label: action.ID})
		}
	}
	return marks
}
