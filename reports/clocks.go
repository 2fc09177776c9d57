package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certquake/certquake/harness/record"
)

// driftMax is how far a node's clock may go astray in a run before the report warns of it.
const driftMax = time.Second

// Clocks compares the clocks of a cluster's nodes with the harness's. The times that pods tell are
// corrected by the first comparison of their node, where that is beyond its uncertainty. What is
// said of errors holds if clocks ran evenly between the comparisons: one that was set and set back
// meanwhile is not noticed.
type Clocks struct {
	Nodes []NodeClock `json:"nodes"` // in order of their names
	// Error is the most by which a time that a pod told may be wrong, on the nodes that were
	// compared. Order is the most by which two such times on different nodes may be off against
	// each other; 0 when there is but one node.
	Error   Seconds `json:"error_seconds"`
	Order   Seconds `json:"order_seconds"`
	Warning string  `json:"warning"` // of clocks that went astray during the run; empty for none
}

// NodeClock is the clock of one node.
type NodeClock struct {
	Node      string        `json:"node"`  // its name in the cluster
	Start     *ClockReading `json:"start"` // null when unknown
	End       *ClockReading `json:"end"`   // null when unknown
	Drift     *ClockReading `json:"drift"` // from start to end; null when either is unknown
	Corrected bool          `json:"corrected"`
	Error     *Seconds      `json:"error_seconds"` // as in Clocks; null when nothing is known
}

// ClockReading is how far a clock was ahead, give or take the uncertainty.
type ClockReading struct {
	Ahead       Seconds `json:"ahead_seconds"`
	Uncertainty Seconds `json:"uncertainty_seconds"`
}

// nodeClock is the comparisons of one node's clock: the first, and the last after it.
type nodeClock struct{ first, last *record.Span }

// compared remembers a comparison.
func (a *Analysis) compared(span record.Span) {
	if a.clocks == nil {
		a.clocks = map[string]nodeClock{}
	}
	clock := a.clocks[span.Source]
	if clock.first == nil {
		clock.first = &span
	} else {
		clock.last = &span
	}
	a.clocks[span.Source] = clock
}

// clockFigures returns how the nodes' clocks compare, nil when the record does not say.
func (a *Analysis) clockFigures() *Clocks {
	if len(a.clocks) == 0 {
		return nil
	}
	c := &Clocks{Nodes: make([]NodeClock, 0, len(a.clocks))}
	for node, clock := range a.clocks {
		c.Nodes = append(c.Nodes, clock.figures(node))
	}
	slices.SortFunc(c.Nodes, func(a, b NodeClock) int { return cmp.Compare(a.Node, b.Node) })
	c.Error, c.Order = c.bounds()
	c.Warning = c.warning()
	return c
}

// figures returns what is known of one node's clock.
func (n nodeClock) figures(node string) NodeClock {
	correction := n.first.Correction()
	f := NodeClock{
		Node: node, Start: reading(n.first), End: reading(n.last), Corrected: correction != 0,
	}
	for _, span := range []*record.Span{n.first, n.last} {
		if reading(span) == nil {
			continue
		}
		bound := seconds((span.Skew - correction).Abs() + span.Uncertainty)
		if f.Error == nil || bound > *f.Error {
			f.Error = &bound
		}
	}
	if f.Start != nil && f.End != nil {
		f.Drift = &ClockReading{
			seconds(n.last.Skew - n.first.Skew),
			seconds(n.first.Uncertainty + n.last.Uncertainty),
		}
	}
	return f
}

// reading returns what a comparison gave, nil for nothing.
func reading(span *record.Span) *ClockReading {
	if span == nil || span.Outcome != record.OK {
		return nil
	}
	return &ClockReading{seconds(span.Skew), seconds(span.Uncertainty)}
}

// bounds returns the largest error of a node's times, and that of the two worst nodes together.
func (c *Clocks) bounds() (largest, together Seconds) {
	var all []Seconds
	for _, n := range c.Nodes {
		if n.Error != nil {
			all = append(all, *n.Error)
		}
	}
	slices.SortFunc(all, func(a, b Seconds) int { return cmp.Compare(b, a) })
	switch len(all) {
	case 0:
		return 0, 0
	case 1:
		return all[0], 0
	}
	return all[0], all[0] + all[1]
}

// warning says which clocks went astray, nothing when none did.
func (c *Clocks) warning() string {
	var astray []string
	for _, n := range c.Nodes {
		if n.Drift == nil {
			continue
		}
		by := max(n.Drift.Ahead, -n.Drift.Ahead)
		if by > max(seconds(driftMax), n.Drift.Uncertainty) {
			astray = append(astray, fmt.Sprintf("%s by %s", n.Node, n.Drift))
		}
	}
	if len(astray) == 0 {
		return ""
	}
	return fmt.Sprintf("Clocks of nodes went astray during the run: %s. Times told there may be "+
		"wrong by as much, and with them propagations and the order of events.", names(astray))
}

// Sentence says what the clocks mean for the times of the run.
func (c *Clocks) Sentence() string {
	var unknown, corrected []string
	for _, n := range c.Nodes {
		if n.Error == nil {
			unknown = append(unknown, n.Node)
		}
		if n.Corrected {
			corrected = append(corrected, n.Node)
		}
	}
	var text []string
	if len(unknown) < len(c.Nodes) {
		text = append(text, fmt.Sprintf("The times of what pods did, and with them propagation, "+
			"are certain to ±%s.", atMost(c.Error)))
	}
	if c.Order > 0 {
		text = append(text, fmt.Sprintf("The order of two events on different nodes is certain "+
			"when they are more than %s apart.", atMost(c.Order)))
	}
	if len(corrected) > 0 {
		text = append(text, fmt.Sprintf("Times told on %s are corrected by the difference at "+
			"the start; certificates are judged by the node's own clock all the same.",
			names(corrected)))
	}
	if len(unknown) > 0 {
		text = append(text, fmt.Sprintf("The clock of %s could not be read: nothing bounds "+
			"the error of times told there.", names(unknown)))
	}
	return strings.Join(text, " ")
}

// clocksNamed is how many nodes a sentence names.
const clocksNamed = 5

// names lists nodes, the first of many.
func names(nodes []string) string {
	text := strings.Join(nodes[:min(len(nodes), clocksNamed)], ", ")
	if more := len(nodes) - clocksNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// String writes a reading for people, "unknown" for none.
func (r *ClockReading) String() string {
	if r == nil {
		return "unknown"
	}
	sign := ""
	if r.Ahead > 0 {
		sign = "+"
	}
	return fmt.Sprintf("%s%s ±%s", sign, spell(r.Ahead), atMost(r.Uncertainty))
}

// atMost writes a bound for people. It is rounded up, or it would claim too much.
func atMost(s Seconds) string {
	step := time.Microsecond
	if s >= 1 {
		step = 100 * time.Millisecond
	}
	return Moment((s.duration() + step - 1).Truncate(step))
}
