package scenarios

import (
	"strings"
	"time"
)

// The modes of Restart.
const (
	RestartPod       = "pod"
	RestartContainer = "container"
	RestartKill      = "kill"
)

// Restart ends pods of a workload and starts them again.
//
// Proof: the process was seen to end and to start.
type Restart struct {
	// Workload is the pods' workload.
	Workload string `json:"workload"`
	// Pods is how many, drawn by lot from the seed.
	Pods int `json:"pods,omitempty"`
	// PodNames names them instead: <workload>-<index>.
	PodNames []string `json:"podNames,omitempty"`
	// Mode is pod (deleted and created again with a fresh volume, the default), container (the
	// volume stays) or kill (SIGKILL: rows not yet written out are lost).
	Mode string `json:"mode,omitempty" enum:"pod|container|kill"`
	// Downtime is how long a pod is away where that is modelled, default 2s.
	Downtime *Duration `json:"downtime,omitempty"`
}

// defaultDowntime is how long a restarted pod is away.
const defaultDowntime = Duration(2 * time.Second)

func (f *Restart) check(c *checker, path string) {
	c.pods(path, f.Workload, f.Pods, f.PodNames)
	if f.Downtime != nil {
		c.notNegative(path+".downtime", *f.Downtime)
	}
}

func (f *Restart) expand(e *expansion) {
	mode, downtime := orDefault(f.Mode, RestartPod), defaultDowntime
	if f.Downtime != nil {
		downtime = *f.Downtime
	}
	pods := e.pods(f.Workload, f.PodNames, f.Pods)
	how := map[string]string{
		RestartPod: "delete and create", RestartContainer: "restart the container of",
		RestartKill: "kill and restart",
	}
	e.add(0, "restart", Action{
		Verb: RestartPods, Pods: pods, Mode: mode, Downtime: downtime.std(),
		Note: how[mode] + " " + strings.Join(pods, ", "),
	})
}
