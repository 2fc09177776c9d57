package cluster

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/cert-manager/cert-manager/pkg/util"
	etcd "go.etcd.io/etcd/api/v3/version"
	kubernetes "k8s.io/component-base/version"
)

// Ready is the first line of the cluster.
type Ready struct {
	Event      string `json:"event"` // "ready"
	Kubeconfig string `json:"kubeconfig"`
	Server     string `json:"server"`
	// InitPID is the first process of the namespaces as the outside counts: with
	// `nsenter -t PID -n -m -p` one enters the cluster.
	InitPID       int               `json:"init_pid"`
	UserNamespace bool              `json:"user_namespace"`
	Services      string            `json:"services"`
	Versions      map[string]string `json:"versions"`
	Nodes         []NodeFacts       `json:"nodes"`
	Startup       Startup           `json:"startup"`
	MemoryBytes   map[string]int64  `json:"memory_bytes"` // proportional share, by part
}

// NodeFacts tell where a node is found.
type NodeFacts struct {
	Name            string        `json:"name"`
	PID             int           `json:"pid"` // of the kubelet, as the inside counts
	Address         string        `json:"address"`
	SyncFrequency   time.Duration `json:"sync_frequency_ns"`
	ChangeDetection string        `json:"change_detection"`
	PodLogs         string        `json:"pod_logs"`
	Log             string        `json:"log"` // of the kubelet
}

// Startup tells how long after the start each goal was reached.
type Startup struct {
	API     time.Duration `json:"api_ns"`
	Issuing time.Duration `json:"issuing_ns"`
	Nodes   time.Duration `json:"nodes_ns"`
}

func (c *cluster) facts(took Startup) Ready {
	return Ready{
		Event: "ready", Kubeconfig: c.config.kubeconfig(), Server: c.server(),
		InitPID: c.outerPID, UserNamespace: c.user, Services: c.services,
		Versions: map[string]string{
			"kubernetes":   kubernetes.Get().GitVersion,
			"cert-manager": util.AppVersion,
			"etcd":         etcd.Version,
		},
		Nodes: c.nodeFacts(), Startup: took, MemoryBytes: c.memory(),
	}
}

func (c *cluster) nodeFacts() []NodeFacts {
	var list []NodeFacts
	for _, n := range c.nodes {
		settings := n.current()
		list = append(list, NodeFacts{
			Name: n.name, PID: n.kubelet.pid(), Address: nodeAddress(n.index),
			SyncFrequency:   time.Duration(settings.SyncFrequency),
			ChangeDetection: settings.ChangeDetection,
			PodLogs:         c.config.podLogs(n.name), Log: n.kubelet.log,
		})
	}
	return list
}

func (n *node) current() Settings {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.settings
}

// memory counts shared pages by their share, so that the numbers may be added.
func (c *cluster) memory() map[string]int64 {
	use := map[string]int64{"supervisor": proportional(os.Getpid())}
	for name, part := range c.parts {
		if pid := part.pid(); pid != 0 {
			use[name] = proportional(pid)
		}
	}
	return use
}

func proportional(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if size, found := strings.CutPrefix(line, "Pss:"); found {
			var kilobytes int64
			if _, err := fmt.Sscan(size, &kilobytes); err == nil {
				return kilobytes << 10
			}
		}
	}
	return 0
}
