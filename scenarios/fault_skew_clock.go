package scenarios

import (
	"strings"
)

// SkewClock sets the clocks of pods of a workload off.
//
// Proof: the process reports its new offset.
type SkewClock struct {
	// Workload is the pods' workload.
	Workload string `json:"workload"`
	// Pods is how many, drawn by lot from the seed.
	Pods int `json:"pods,omitempty"`
	// PodNames names them instead: <workload>-<index>.
	PodNames []string `json:"podNames,omitempty"`
	// By is the clocks' offset: -30s is half a minute behind.
	By Duration `json:"by"`
	// For is how long, default 0s: to the end of the run.
	For Duration `json:"for,omitempty"`
}

func (f *SkewClock) check(c *checker, path string) {
	c.pods(path, f.Workload, f.Pods, f.PodNames)
	c.notNegative(path+".for", f.For)
	if f.By == 0 {
		c.problem(path+".by", "must not be 0s", "-30s is half a minute behind")
	}
}

func (f *SkewClock) expand(e *expansion) {
	pods := e.pods(f.Workload, f.PodNames, f.Pods)
	e.add(0, "skew", Action{
		Verb: SetClock, Pods: pods, Skew: f.By.std(), Note: skewNote(pods, f.By.std()),
	})
	if f.For > 0 {
		e.add(f.For, "correct", Action{
			Verb: SetClock, Pods: pods,
			Note: "set the clocks of " + strings.Join(pods, ", ") + " right",
		})
	}
}
