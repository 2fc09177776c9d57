package scenarios

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// NetworkDisturbance delays, loses or cuts off what pods of a workload and all other pods send each
// other. What the named pods send among themselves, kubelets, the API server and probes are not
// concerned. A pod that is restarted meanwhile has the trouble still.
//
// An attempt to connect gives up after 5 s. Packets that are lost are sent again: those that open a
// connection after 1 s, at first those of an open one after about 200 ms. A connection that stands
// is ended by the workloads' keep-alives when three probes in a row, a second apart, are lost: one
// that is cut off lives for 3 to 4 s.
//
// Proof: for each pod, the trouble was read back from its network, and none at the end.
type NetworkDisturbance struct {
	// Workload is the pods' workload.
	Workload string `json:"workload"`
	// Pods is how many, drawn by lot from the seed.
	Pods int `json:"pods,omitempty"`
	// PodNames names them instead: <workload>-<index>.
	PodNames []string `json:"podNames,omitempty"`
	// Delay is added to each packet that the pods send, and so to a round trip once; at most 2s,
	// with which no attempt to connect is in time.
	Delay Duration `json:"delay,omitempty"`
	// Loss is the share of packets that are dropped, each by itself, in either direction: 5%.
	Loss Percentage `json:"loss,omitempty"`
	// Cut drops every packet, in both directions.
	Cut bool `json:"cut,omitempty"`
	// For is how long, default 0s: to the end of the run.
	For Duration `json:"for,omitempty"`
}

// delayMax keeps keep-alives, whose answers come a round trip after they were sent, in time.
const delayMax = Duration(2 * time.Second)

func (f *NetworkDisturbance) check(c *checker, path string) {
	c.pods(path, f.Workload, f.Pods, f.PodNames)
	c.notNegative(path+".delay", f.Delay)
	c.notNegative(path+".for", f.For)
	if f.Delay > delayMax {
		c.problem(path+".delay", fmt.Sprintf("%s is more than %s", f.Delay, delayMax),
			"connections that take so long are given up; use cut: true")
	}
	if f.Loss >= 1 {
		c.problem(path+".loss", f.Loss.String()+" leaves nothing", "use cut: true")
	}
	sound := c.sound(path+".delay") && c.sound(path+".loss") && c.sound(path+".cut")
	switch does := f.Delay != 0 || f.Loss != 0; {
	case does && f.Cut:
		c.problem(path, "has nothing left to delay or lose when it cuts",
			"write one fault for each")
	case !does && !f.Cut && sound:
		c.problem(path, "does nothing", "give delay, loss or cut: true")
	}
	if total := c.s.pods(); total > 0 && max(f.Pods, len(f.PodNames)) == total {
		c.problem(path, "names every pod there is", "leave those out that they are to be cut off "+
			"from")
	}
}

// pods returns how many pods there are.
func (s *Scenario) pods() int {
	total := 0
	for i := range s.Spec.Workloads {
		total += s.Spec.Workloads[i].replicas()
	}
	return total
}

func (f *NetworkDisturbance) expand(e *expansion) {
	pods := e.pods(f.Workload, f.PodNames, f.Pods)
	named := strings.Join(pods, ", ")
	e.add(0, "disturb", Action{
		Verb: DisturbNetwork, Pods: pods, Note: f.how() + " between " + named + " and other pods",
		Network: &NetworkTrouble{Delay: f.Delay.std(), Loss: f.Loss.share(), Cut: f.Cut},
	})
	if f.For > 0 {
		e.add(f.For, "restore", Action{
			Verb: RestoreNetwork, Pods: pods, Note: "restore the network of " + named,
		})
	}
}

// how tells what is done, for people.
func (f *NetworkDisturbance) how() string {
	if f.Cut {
		return "cut the network"
	}
	var parts []string
	if f.Delay > 0 {
		parts = append(parts, "delay packets by "+f.Delay.String())
	}
	if f.Loss > 0 {
		parts = append(parts, "lose "+f.Loss.String()+" of packets")
	}
	return strings.Join(parts, " and ")
}

// disturbances refuses two of them that may be of the same pod at the same time. Pods drawn by lot
// count as all of their workload, so that the answer does not depend on the seed.
func (c *checker) disturbances() {
	for i := range c.s.Spec.Faults {
		path := "faults[" + strconv.Itoa(i) + "]"
		f := &c.s.Spec.Faults[i]
		switch {
		case f.DisturbNetwork == nil:
			continue
		case f.Repeat != nil && f.Repeat.Times > 1 &&
			(f.DisturbNetwork.For == 0 || f.DisturbNetwork.For >= f.Repeat.Every):
			c.problem(path+".repeat", "begins anew before the one before is over",
				"give a for that is shorter than every")
		}
		for j := range c.s.Spec.Faults[:i] {
			if other := &c.s.Spec.Faults[j]; other.DisturbNetwork != nil && f.disturbsWith(other) {
				c.problem(path+".disturbNetwork", fmt.Sprintf("may disturb the same pods as "+
					"faults[%d] at the same time", j), "name other pods, or another time")
				break
			}
		}
	}
}

// disturbsWith reports whether both faults may disturb the same pod at the same time.
func (f *Fault) disturbsWith(other *Fault) bool {
	a, b := f.DisturbNetwork, other.DisturbNetwork
	if a.Workload != b.Workload || f.over() < other.At || other.over() < f.At {
		return false
	}
	return len(a.PodNames) == 0 || len(b.PodNames) == 0 ||
		slices.ContainsFunc(a.PodNames, func(name string) bool {
			return slices.Contains(b.PodNames, name)
		})
}

// over returns when the last disturbance of the fault ends, at most horizonMax.
func (f *Fault) over() Duration {
	const latest = Duration(horizonMax)
	last := f.At
	if f.Repeat != nil && f.Repeat.Every > 0 && f.Repeat.Times > 1 {
		again := Duration(f.Repeat.Times - 1)
		if again > latest/f.Repeat.Every {
			return latest
		}
		last += again * f.Repeat.Every
	}
	if f.DisturbNetwork.For == 0 {
		return latest
	}
	return min(last+f.DisturbNetwork.For, latest)
}
