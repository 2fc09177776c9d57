// Package contain is what the CRI server and the container's first program agree on: the
// server writes a [Spec] and starts the program with its path; the program builds the
// container around itself and becomes the workload. It imports only the standard library, for
// the program is started once per container and must stay small.
package contain

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// File descriptors that the server hands over.
const (
	NetworkFD = 3 // network namespace of the pod
	ErrorFD   = 4 // takes one error text; closed without one when the workload runs
)

// Spec describes one container.
type Spec struct {
	Root         string   `json:"root"`    // empty folder that becomes the root
	Program      string   `json:"program"` // executable on the host
	Inside       string   `json:"inside"`  // where the container sees it
	Args         []string `json:"args"`
	Env          []string `json:"env"`
	Dir          string   `json:"dir"`
	Hostname     string   `json:"hostname"`
	Resolv       string   `json:"resolv"` // content of /etc/resolv.conf
	Mounts       []Mount  `json:"mounts"`
	ReadOnly     bool     `json:"read_only"` // root file system
	User         int      `json:"user"`
	Group        int      `json:"group"`
	Groups       []int    `json:"groups"`
	KeepIDs      bool     `json:"keep_ids"` // a user namespace with one id cannot change it
	NoNewPrivs   bool     `json:"no_new_privs"`
	Privileged   bool     `json:"privileged"`
	Capabilities []int    `json:"capabilities"` // the bounding set, unless privileged
}

// Mount is a bind mount from the host into the container.
type Mount struct {
	From     string `json:"from"`
	To       string `json:"to"`
	ReadOnly bool   `json:"read_only"`
}

// Write stores the spec for the program alone to read: the environment may hold secrets.
func (s Spec) Write(path string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode container: %w", err)
	}
	return os.WriteFile(path, text, 0o600)
}

// Read returns the spec stored at path.
func Read(path string) (Spec, error) {
	var spec Spec
	text, err := os.ReadFile(path)
	if err != nil {
		return spec, err
	}
	if err := json.Unmarshal(text, &spec); err != nil {
		return spec, fmt.Errorf("decode container: %w", err)
	}
	return spec, nil
}

// Capabilities returns the bounding set of a container: what container runtimes grant by
// default, plus and minus what the pod asks for. Unknown names are an error.
func Capabilities(add, drop []string) ([]int, error) {
	names := capabilityNames()
	set := map[string]bool{}
	for name := range strings.FieldsSeq(granted) {
		set[name] = true
	}
	for _, step := range []struct {
		names []string
		value bool
	}{{drop, false}, {add, true}} {
		for _, name := range step.names {
			name = strings.TrimPrefix(strings.ToUpper(name), "CAP_")
			if name == "ALL" {
				for _, each := range names {
					set[each] = step.value
				}
				continue
			}
			set[name] = step.value
		}
	}
	var numbers []int
	for number, name := range names {
		if set[name] {
			numbers = append(numbers, number)
		}
		delete(set, name)
	}
	for name := range set {
		return nil, fmt.Errorf("unknown capability %q", name)
	}
	return numbers, nil
}

const granted = `CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP
	NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP`

// capabilityNames lists the names in the order of the kernel's numbers.
func capabilityNames() []string {
	return strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID
		SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK
		IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT
		SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL
		SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF
		CHECKPOINT_RESTORE`)
}
