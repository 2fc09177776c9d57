package harnesstest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/certquake/certquake/reports"
	"github.com/certquake/certquake/scenarios"
)

// slack is how many failures more or less are no difference, whatever their share: two pairs for
// the second in which one of them reads its files earlier than the other.
const slack = 40

// Differences returns in what the real run lies outside of what the model holds possible, a
// sentence each: verdict, status of every check, kinds of outcomes, balance, number of failures and
// quantiles of propagation.
func (c *Comparison) Differences() []string {
	var found []string
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if !slices.Contains(c.Model.Verdicts, c.Real.Verdict) {
		say("the verdict is %s, modelled %s", c.Real.Verdict, or(c.Model.Verdicts))
	}
	for _, id := range scenarios.Checks() {
		status, modelled := c.Real.Findings[id], c.Model.Findings[id]
		if status != "" && !slices.Contains(modelled, status) {
			say("%s is %s, modelled %s", id, status, or(modelled))
		}
	}
	for _, class := range classes() {
		n, modelled := class.count(c.Real), c.Model.Attempts[class.name]
		noise := float64(class.noise)
		switch {
		case n > class.noise && modelled.High <= noise:
			say("%d attempts ended with %s, none in the model", n, class.name)
		case n <= class.noise && modelled.Low > noise:
			say("no attempt ended with %s, always some in the model", class.name)
		}
	}
	b, unaccounted := c.Real.Balance, c.Model.Unaccounted
	if b.Scheduled != c.Model.Scheduled ||
		b.OK+b.Failed+b.Skipped+b.Unaccounted != b.Scheduled ||
		b.Unaccounted == 0 && unaccounted.Low > 0 ||
		b.Unaccounted != 0 && unaccounted.High == 0 {
		say("the balance is %+v, modelled %d scheduled, %s unaccounted for", b,
			c.Model.Scheduled, unaccounted.count())
	}
	if failed := float64(b.Failed); failed < c.Model.Failed.Low*0.5-slack ||
		failed > c.Model.Failed.High*1.5+slack {
		say("%d attempts failed, modelled %s", b.Failed, c.Model.Failed.count())
	}
	return append(found, c.propagation()...)
}

// deviations is how many standard errors a quantile of a sample may lie off its law: chance alone
// exceeds it once in a thousand times.
const deviations = 3.3

// inStep is the syncFrequency below which pods that started in the same tick of their kubelet stay
// in step with each other for long: their intervals of 1 to 1.5 times it come to one or two numbers
// of ticks. The model's pods have been up for long, and are not.
const inStep = 5 * time.Second

// propagation compares the quantiles of the real run's propagation with those that the model knows
// or, where every propagation is a sample of its own, with the law of each node.
func (c *Comparison) propagation() []string {
	fastest := func(a, b scenarios.PlannedNode) int {
		return cmp.Compare(a.SyncFrequency, b.SyncFrequency)
	}
	nodes := slices.Clone(c.plan.Nodes)
	for _, action := range c.plan.Actions {
		if action.Kubelet != nil {
			nodes = append(nodes, *action.Kubelet)
		}
	}
	if slices.MinFunc(nodes, fastest).SyncFrequency < inStep {
		return nil
	}
	if !c.Case.Law {
		return append(outside("50 %", c.Real.Propagation.P50, c.Model.P50),
			outside("90 %", c.Real.Propagation.P90, c.Model.P90)...)
	}
	var found []string
	for _, node := range c.Real.ByNode {
		one := c.plan
		one.Pods = slices.DeleteFunc(slices.Clone(c.plan.Pods), func(p scenarios.Pod) bool {
			return p.Node != node.Node
		})
		found = append(found, strays("propagation on "+node.Node,
			reports.NewLaw(one), 0.5, node.P50, float64(node.Count))...)
	}
	return found
}

// haste is how much sooner or later than the model knows a quantile may be, in seconds: what a
// kubelet takes after its tick, and a process to look.
const haste = 0.3

// outside tells of a quantile of the propagation that is outside of all that the model knows.
func outside(what string, at reports.Seconds, modelled Range) []string {
	if float64(at) >= modelled.Low-haste && float64(at) <= modelled.High+haste {
		return nil
	}
	return []string{fmt.Sprintf("propagation: %s within %.1f s, modelled within %.1f to %.1f s",
		what, at, modelled.Low, modelled.High)}
}

// strays tells of a sample's quantile q that is off its law: the share of the law below it has the
// standard error sqrt(q(1-q)/n).
func strays(what string, law reports.Law, q float64, at reports.Seconds, n float64) []string {
	if n < 3 {
		return nil
	}
	off := deviations*math.Sqrt(q*(1-q)/n) + 1/n
	if share := law.CDF(float64(at)); share > q-off && share < q+off {
		return nil
	}
	return []string{fmt.Sprintf("%s: %.0f %% within %.1f s (n = %.0f), by the law within %.1f s",
		what, 100*q, float64(at), n, law.Quantile(q))}
}
