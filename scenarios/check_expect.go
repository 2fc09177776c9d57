package scenarios

import (
	"fmt"
	"strconv"
)

// The verdicts a run can have.
const (
	VerdictPass         = "pass"
	VerdictFail         = "fail"
	VerdictInconclusive = "inconclusive"
)

// expect checks the expectations.
func (c *checker) expect() {
	expect := c.s.Spec.Expect
	if expect.Because != "" {
		var ids []string
		for _, id := range Checks() {
			ids = append(ids, string(id))
		}
		if what, hint := notOneOf(expect.Because, ids); what != "" {
			c.problem("expect.because", what, hint)
		} else if expect.Verdict != VerdictFail {
			c.problem("expect.because", "needs verdict: fail", "a check is named that must fail")
		}
	}
	c.settle(expect.Settle)
	if expect.Propagation != nil {
		c.positive("expect.propagation.within", expect.Propagation.Within)
	}
	if expect.StaleTrust != nil {
		c.positive("expect.staleTrust.within", expect.StaleTrust.Within)
	}
	first := map[string]int{}
	for i, condition := range expect.Conditions {
		path := "expect.conditions[" + strconv.Itoa(i) + "]"
		if other, again := first[condition.Name]; again {
			c.problem(path+".name", fmt.Sprintf("%q is the name of conditions[%d] too",
				condition.Name, other), "")
			continue
		}
		first[condition.Name] = i
		if condition.Name == "" {
			c.problem(path+".name", "is empty", "")
		}
		if CheckID(condition.Name).Known() {
			c.problem(path+".name", fmt.Sprintf("%q is the name of a check", condition.Name),
				"choose a name of its own")
		}
		if condition.That == "" {
			c.problem(path+".that", "is empty", "write a CEL expression that must be true")
		}
	}
}

func (c *checker) settle(settle *Settle) {
	if settle == nil {
		return
	}
	c.positive("expect.settle.within", settle.Within)
	c.notNegative("expect.settle.after", settle.After)
	horizon := c.s.Spec.Horizon
	if settle.Within <= 0 || settle.After < 0 || horizon <= 0 {
		return
	}
	if settle.After > horizon || settle.Within > horizon-settle.After {
		c.problem("expect.settle", fmt.Sprintf("%s after %s is beyond the horizon (%s)",
			settle.Within, settle.After, horizon), "leave a tail without faults")
	}
}
