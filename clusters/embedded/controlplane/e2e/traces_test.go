//go:build embedded

package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process is one of this machine, as /proc shows it.
type process struct {
	pid, parent int
	started     time.Duration // after the machine's start
	args        []string
	spaces      []string // its namespaces
	exe         string
}

// processes lists those that can be read; others come and go meanwhile.
func processes(t *testing.T) []process {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	var list []process
	for _, path := range paths {
		stat, err := os.ReadFile(filepath.Join(path, "stat"))
		if err != nil {
			continue
		}
		one := process{}
		one.pid, _ = strconv.Atoi(filepath.Base(path))
		// The name in parentheses may hold anything; state and parent follow it.
		behind := strings.Fields(string(stat)[strings.LastIndex(string(stat), ")")+1:])
		one.parent, _ = strconv.Atoi(behind[1])
		ticks, _ := strconv.Atoi(behind[19])
		one.started = time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100
		args, _ := os.ReadFile(filepath.Join(path, "cmdline"))
		one.args = strings.Split(string(args), "\x00")
		one.exe, _ = os.Readlink(filepath.Join(path, "exe"))
		for _, kind := range []string{"net", "mnt", "pid", "uts", "ipc"} {
			if link, err := os.Readlink(filepath.Join(path, "ns", kind)); err == nil {
				one.spaces = append(one.spaces, link)
			}
		}
		list = append(list, one)
	}
	return list
}

// family returns the process and all that descend from it.
func family(t *testing.T, pid int) []process {
	t.Helper()
	all, inside := processes(t), map[int]bool{pid: true}
	for grown := true; grown; {
		grown = false
		for _, each := range all {
			if inside[each.parent] && !inside[each.pid] {
				inside[each.pid], grown = true, true
			}
		}
	}
	var list []process
	for _, each := range all {
		if inside[each.pid] {
			list = append(list, each)
		}
	}
	return list
}

// namespaces returns those of the cluster and of the pods it has now, as the links in /proc
// name them.
func namespaces(t *testing.T, pid int) map[string]bool {
	t.Helper()
	set, own := map[string]bool{}, map[string]bool{}
	for _, each := range processes(t) {
		if each.pid == os.Getpid() {
			for _, link := range each.spaces {
				own[link] = true
			}
		}
	}
	for _, each := range family(t, pid) {
		for _, link := range each.spaces {
			require.False(t, own[link], "the cluster shares %s", link)
			set[link] = true
		}
	}
	require.GreaterOrEqual(t, len(set), 5)
	return set
}

// remains lists what is left of a cluster: living processes in its namespaces or of its
// programs, and mounts that name its folders. Processes that started after its end are others':
// the kernel gives the numbers of namespaces away again.
func remains(
	t *testing.T, end time.Duration, spaces map[string]bool, dirs ...string,
) []string {
	t.Helper()
	var left []string
	for _, each := range processes(t) {
		if each.started > end {
			continue
		}
		for _, dir := range dirs {
			if strings.HasPrefix(each.exe, dir+"/") {
				left = append(left, strconv.Itoa(each.pid)+" runs "+each.exe)
			}
		}
		for _, link := range each.spaces {
			if spaces[link] {
				left = append(left, strconv.Itoa(each.pid)+" is in "+link)
			}
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	for line := range strings.Lines(string(mounts)) {
		for _, dir := range append(dirs, "certquake") {
			if strings.Contains(line, dir) {
				left = append(left, "mount "+line)
			}
		}
	}
	return left
}

// requireGone waits a little for the kernel and then insists.
func requireGone(t *testing.T, spaces map[string]bool, dirs ...string) {
	t.Helper()
	end := uptime(t)
	left := remains(t, end, spaces, dirs...)
	for limit := time.Now().Add(10 * time.Second); len(left) > 0 && time.Now().Before(limit); {
		time.Sleep(20 * time.Millisecond) // the kernel ends processes in its own time
		left = remains(t, end, spaces, dirs...)
	}
	require.Empty(t, left)
}

// uptime is how long ago the machine started.
func uptime(t *testing.T) time.Duration {
	t.Helper()
	text, err := os.ReadFile("/proc/uptime")
	require.NoError(t, err)
	seconds, _, _ := strings.Cut(string(text), " ")
	value, err := time.ParseDuration(seconds + "s")
	require.NoError(t, err)
	return value
}
