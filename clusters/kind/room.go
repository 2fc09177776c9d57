package kind

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// What a cluster takes: memory with cert-manager but without pods, and instances of inotify, of
// which Linux gives each user 128 unless it is told otherwise. The workers' share is for each.
const (
	memoryBase     = 700 << 20
	memoryWorker   = 250 << 20
	watchersBase   = 26
	watchersWorker = 13
)

// room is what a machine has left, 0 where that is not known.
type room struct {
	memory   int64
	watchers int
}

// host is this machine, if it is a Linux.
type host struct {
	kernel string
	room
}

// roomOf returns what the engine's machine has left. Of another one than this, such as Docker
// Desktop's, only the memory in all is known.
func roomOf(m machine, h host) room {
	if h.kernel == m.KernelVersion && h.kernel != "" {
		return h.room
	}
	return room{memory: m.MemTotal}
}

// readHost looks at this machine, on which so many nodes are to have room.
func readHost(nodes int) host {
	h := host{kernel: readWord("/proc/sys/kernel/osrelease")}
	if h.kernel == "" {
		return h
	}
	// Without /proc/meminfo the memory is not known.
	text, _ := os.ReadFile("/proc/meminfo")
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		if len(fields) > 1 && fields[0] == "MemAvailable:" {
			kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
			h.memory = kilobytes << 10
		}
	}
	h.watchers = openWatchers(watchersBase + nodes*watchersWorker)
	return h
}

// readWord returns what a file of the kernel's says, nothing if there is none.
func readWord(path string) string {
	text, err := os.ReadFile(path) //nolint:gosec // of the kernel's
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// checkMemory says whether the nodes have room in so many bytes.
func checkMemory(nodes int, free int64) error {
	need := int64(memoryBase) + int64(nodes)*memoryWorker
	if free == 0 || need <= free {
		return nil
	}
	return fmt.Errorf("a kind cluster with %s takes about %d MB of memory, and %d MB are free: "+
		"end something, give the engine's machine more, or use --backend embedded, which takes a "+
		"third", count(nodes, "worker"), need>>20, free>>20)
}

// checkWatchers says whether the nodes' programs can watch their files. Those that cannot end, or
// fail in ways that are hard to tell.
func checkWatchers(nodes, free int) error {
	need := watchersBase + nodes*watchersWorker
	if free == 0 || need <= free {
		return nil
	}
	return fmt.Errorf("a kind cluster with %s takes about %d instances of inotify, and %d are "+
		"free: sysctl fs.inotify.max_user_instances=%d, or end another cluster",
		count(nodes, "worker"), need, free, max(512, 2*need))
}
