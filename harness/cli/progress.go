package cli

import (
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/certquake/certquake/reports"
	"github.com/certquake/certquake/scenarios"
)

// maxTold bounds the actions that progress tells one by one, unless everything is to be told.
const maxTold = 40

// progress tells on stderr how far a run is: a line an action, and on a terminal a moving line
// between them.
type progress struct {
	out     io.Writer
	plan    scenarios.Plan
	detail  detail
	moving  bool
	mutex   sync.Mutex // keeps lines whole: a backend may talk from several goroutines
	told    int
	reached time.Duration
}

func newProgress(out io.Writer, plan scenarios.Plan, d detail) *progress {
	p := &progress{out: out, plan: plan, detail: d, moving: terminal(out)}
	p.say("%s: %d pods on %d nodes for %s, seed %d", plan.Scenario,
		len(plan.Pods), len(plan.Nodes), span(plan.Horizon), plan.Seed)
	return p
}

// terminal reports whether w is a terminal, on which a line can be overwritten.
func terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (p *progress) say(format string, args ...any) {
	if p.detail == terse {
		return
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.moving {
		tell(p.out, "\r\x1b[K")
	}
	tell(p.out, "certquake: "+format+"\n", args...)
}

// report is the run's harness.Progress.
func (p *progress) report(at time.Duration, action *scenarios.Action) {
	p.reached = at
	switch {
	case action != nil && (p.told < maxTold || p.detail == full):
		p.told++
		p.say("%8s  %s", span(at), action.Note)
	case action != nil && p.told == maxTold:
		p.told++
		p.say("%8s  and so on: %s actions in all; -v tells each", span(at),
			reports.Number(int64(len(p.plan.Actions))))
	case p.moving && p.detail != terse:
		const width = 30
		filled := int(int64(width) * int64(at) / int64(p.plan.Horizon))
		p.mutex.Lock()
		defer p.mutex.Unlock()
		tell(p.out, "\r\x1b[Kcertquake: %8s  [%s%s]", span(at),
			strings.Repeat("=", filled), strings.Repeat(" ", width-filled))
	}
}

// done says how the run ended.
func (p *progress) done(err error) {
	if err != nil {
		p.say("%8s  stopped; the record ends here", span(p.reached))
		return
	}
	p.say("%8s  the horizon", span(p.plan.Horizon))
}
