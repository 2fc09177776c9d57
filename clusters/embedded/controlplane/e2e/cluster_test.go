//go:build embedded

package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/clusters/embedded/controlplane/cluster"
)

// startMax bounds the start of a cluster on a loaded machine.
const startMax = 3 * time.Minute

// running is a cluster as a harness sees it: a child process and its three streams.
type running struct {
	t       *testing.T
	command *exec.Cmd
	input   io.WriteCloser
	lines   chan []byte
	ready   cluster.Ready
	serial  int
}

// programs builds the programs once per run of the tests, or takes those of CONTROLPLANE_BIN.
func programs(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("CONTROLPLANE_BIN")
	if dir == "" {
		dir = filepath.Join(t.TempDir(), "bin")
		build(t, "run", "./build", "-o", dir)
	}
	return dir
}

func testpod(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "testpod")
	build(t, "build", "-trimpath", "-o", path, "./e2e/testpod")
	return path
}

func build(t *testing.T, args ...string) {
	t.Helper()
	command := exec.Command("go", args...)
	command.Dir, command.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func start(t *testing.T, bin string, config cluster.Config) *running {
	t.Helper()
	r := &running{t: t, lines: make(chan []byte, 16)}
	r.command = exec.Command(filepath.Join(bin, "controlplane"), "run", "-config", "-")
	r.command.Stderr = os.Stderr
	var err error
	r.input, err = r.command.StdinPipe()
	require.NoError(t, err)
	out, err := r.command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, r.command.Start())
	t.Cleanup(func() {
		_ = r.input.Close()
		_ = r.command.Wait()
	})
	go func() {
		defer close(r.lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			r.lines <- []byte(scanner.Text())
		}
	}()
	r.send(config)
	r.receive(startMax, &r.ready)
	require.Equal(t, "ready", r.ready.Event)
	return r
}

func (r *running) send(line any) {
	r.t.Helper()
	text, err := json.Marshal(line)
	require.NoError(r.t, err)
	_, err = r.input.Write(append(text, '\n'))
	require.NoError(r.t, err)
}

func (r *running) receive(within time.Duration, into any) {
	r.t.Helper()
	select {
	case line, open := <-r.lines:
		require.True(r.t, open, "the cluster has ended")
		require.NoError(r.t, json.Unmarshal(line, into), "%s", line)
	case <-time.After(within):
		require.Fail(r.t, "no line in time")
	}
}

// do sends a command and returns its answer, which must be for it.
func (r *running) do(command cluster.Command) cluster.Answer {
	r.t.Helper()
	r.serial++
	command.ID = strconv.Itoa(r.serial)
	r.send(command)
	var answer cluster.Answer
	r.receive(time.Minute, &answer)
	require.Equal(r.t, command.ID, answer.ID)
	return answer
}

func (r *running) must(command cluster.Command) cluster.Answer {
	r.t.Helper()
	answer := r.do(command)
	require.True(r.t, answer.OK, "%s: %s", command.Do, answer.Error)
	return answer
}

// namespaces returns the cluster's own, as the links in /proc name them.
func namespaces(t *testing.T, pid int) map[string]bool {
	t.Helper()
	set := map[string]bool{}
	for _, kind := range []string{"net", "mnt", "pid", "uts", "ipc"} {
		link, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "ns", kind))
		require.NoError(t, err)
		own, err := os.Readlink("/proc/self/ns/" + kind)
		require.NoError(t, err)
		require.NotEqual(t, own, link, "the cluster shares the %s namespace", kind)
		set[link] = true
	}
	return set
}

// remains lists what is left of a cluster: living processes in its namespaces or of its
// programs, and mounts that name its folders.
func remains(t *testing.T, spaces map[string]bool, dirs ...string) []string {
	t.Helper()
	var left []string
	processes, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	for _, process := range processes {
		if name, _ := os.Readlink(filepath.Join(process, "exe")); name != "" {
			for _, dir := range dirs {
				if strings.HasPrefix(name, dir+"/") {
					left = append(left, process+" runs "+name)
				}
			}
		}
		for _, kind := range []string{"net", "mnt", "pid"} {
			link, err := os.Readlink(filepath.Join(process, "ns", kind))
			if err == nil && spaces[link] {
				left = append(left, process+" is in "+link)
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
	require.Eventually(t, func() bool { return len(remains(t, spaces, dirs...)) == 0 },
		10*time.Second, 50*time.Millisecond)
	require.Empty(t, remains(t, spaces, dirs...))
}
