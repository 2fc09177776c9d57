package kubelet

import (
	"os"
	"strings"

	info "github.com/google/cadvisor/info/v1"
	"k8s.io/kubernetes/pkg/kubelet/cadvisor/testing"
)

// machine tells the kubelet of a machine large enough for any scenario: the scheduler must
// never be what limits a run, and requests of CPU and memory bind nothing here.
type machine struct{ testing.Fake }

func newMachine(node string) *machine {
	return &machine{testing.Fake{NodeName: node}}
}

// MachineInfo returns the size of the pretended machine.
func (m *machine) MachineInfo() (*info.MachineInfo, error) {
	return &info.MachineInfo{
		NumCores: 16, MemoryCapacity: 64 << 30, InstanceID: info.InstanceID(m.NodeName),
	}, nil
}

// VersionInfo returns what `kubectl get nodes -o wide` shows of the machine.
func (m *machine) VersionInfo() (*info.VersionInfo, error) {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return nil, err
	}
	return &info.VersionInfo{
		KernelVersion:      strings.TrimSpace(string(release)),
		ContainerOsVersion: "processes of this machine",
	}, nil
}
