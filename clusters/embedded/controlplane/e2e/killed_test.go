//go:build embedded

package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/clusters/embedded/controlplane/cluster"
)

// TestKilledParent kills the harness, with no chance to clean up, and finds nothing.
func TestKilledParent(t *testing.T) {
	bin, dir := programs(t), t.TempDir()
	text, err := json.Marshal(cluster.Config{Dir: dir,
		Nodes: []cluster.Node{node("one", time.Second)}})
	require.NoError(t, err)
	parent := exec.Command(os.Args[0], "-test.run=^TestParentHelper$", "-test.v")
	parent.Env = append(os.Environ(), "E2E_PARENT_OF="+bin, "E2E_CONFIG="+string(text))
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	var ready cluster.Ready
	for scanner := bufio.NewScanner(out); scanner.Scan() && ready.Event == ""; {
		_ = json.Unmarshal(scanner.Bytes(), &ready) // other lines are the testing package's
		if ready.Event != "" {
			break
		}
	}
	require.Equal(t, "ready", ready.Event)
	spaces := namespaces(t, ready.InitPID)
	require.NotEmpty(t, remains(t, spaces, bin), "the check sees a living cluster")
	require.NoError(t, parent.Process.Kill())
	killed := time.Now()
	_ = parent.Wait()
	requireGone(t, spaces, bin, dir)
	t.Logf("everything gone %s after kill -9", time.Since(killed).Round(time.Millisecond))
}

// TestKilledSupervisor kills the outer process: the kernel ends the inside with it.
func TestKilledSupervisor(t *testing.T) {
	bin, dir := programs(t), t.TempDir()
	r := start(t, bin, cluster.Config{Dir: dir, Nodes: []cluster.Node{node("one", time.Second)}})
	spaces := namespaces(t, r.ready.InitPID)
	require.NoError(t, r.command.Process.Kill())
	_ = r.command.Wait()
	requireGone(t, spaces, bin, dir)
}

// TestLostPart kills a part and wants to be told which.
func TestLostPart(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("entering the cluster's process namespace needs root")
	}
	bin, dir := programs(t), t.TempDir()
	r := start(t, bin, cluster.Config{Dir: dir, Nodes: []cluster.Node{node("one", time.Second)}})
	spaces := namespaces(t, r.ready.InitPID)
	out, err := exec.Command("nsenter", "-t", strconv.Itoa(r.ready.InitPID), "-p", "-m", "--",
		"kill", "-9", strconv.Itoa(r.ready.Nodes[0].PID)).CombinedOutput()
	require.NoError(t, err, "%s", out)
	var failed cluster.Failed
	r.receive(10*time.Second, &failed)
	assert.Equal(t, "failed", failed.Event)
	assert.Contains(t, failed.Error, "kubelet/one: ended by itself: signal: killed")
	_ = r.command.Wait()
	assert.Equal(t, 1, r.command.ProcessState.ExitCode())
	requireGone(t, spaces, bin, dir)
}

// TestRefusedConfig wants every problem at once.
func TestRefusedConfig(t *testing.T) {
	command := exec.Command(filepath.Join(programs(t), "controlplane"), "run", "-config", "-")
	command.Stdin = strings.NewReader(
		`{"dir":"x","nodes":[{"name":"A","changeDetection":"Poll"}],"images":{"i":"/none"}}`)
	out, err := command.Output()
	require.Error(t, err)
	var failed cluster.Failed
	require.NoError(t, json.Unmarshal(out, &failed), "%s", out)
	for _, want := range []string{
		`dir "x" is not absolute`, `nodes[0].name: "A"`, `nodes[0].changeDetection "Poll"`,
		`images["i"]: stat /none`,
	} {
		assert.Contains(t, failed.Error, want)
	}
}

// TestParentHelper is the harness that gets killed; alone it does nothing.
func TestParentHelper(t *testing.T) {
	bin := os.Getenv("E2E_PARENT_OF")
	if bin == "" {
		t.Skip("helper of TestKilledParent")
	}
	command := exec.Command(filepath.Join(bin, "controlplane"), "run", "-config", "-")
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	input, err := command.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	_, err = input.Write([]byte(os.Getenv("E2E_CONFIG") + "\n"))
	require.NoError(t, err)
	_ = command.Wait() // until this process is killed
}
