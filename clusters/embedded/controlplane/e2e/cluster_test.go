//go:build embedded

package e2e

import (
	"bufio"
	"debug/elf"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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
	if bin := os.Getenv("CONTROLPLANE_BIN"); bin != "" {
		path := filepath.Join(bin, "testpod")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	path := filepath.Join(t.TempDir(), "testpod")
	build(t, "build", "-trimpath", "-o", path, "./e2e/testpod")
	return path
}

// shared returns a program that needs shared libraries, which no container has.
func shared(t *testing.T) string {
	t.Helper()
	for _, path := range []string{"/bin/ls", "/usr/bin/env"} {
		if file, err := elf.Open(path); err == nil {
			_ = file.Close()
			return path
		}
	}
	require.Fail(t, "no program with shared libraries")
	return ""
}

func build(t *testing.T, args ...string) {
	t.Helper()
	command := exec.Command("go", args...)
	command.Dir, command.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// controlplane is the command that a harness starts.
func controlplane(bin string) *exec.Cmd {
	return exec.Command(filepath.Join(bin, "controlplane"), "run", "-config", "-")
}

func start(t *testing.T, bin string, config cluster.Config) *running {
	t.Helper()
	r := &running{t: t, lines: make(chan []byte, 16)}
	r.command = controlplane(bin)
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
