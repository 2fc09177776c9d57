//go:build embedded

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/clusters/embedded/controlplane/cluster"
)

// TestKilledParent kills the harness, with no chance to clean up, and finds nothing.
func TestKilledParent(t *testing.T) {
	bin, dir := programs(t), t.TempDir()
	text, err := json.Marshal(cluster.Config{
		Dir:   dir,
		Nodes: []cluster.Node{node("one", time.Second)},
	})
	require.NoError(t, err)
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), roleVariable+"="+parentRole, "E2E_PARENT_OF="+bin,
		"E2E_CONFIG="+string(text))
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	var ready cluster.Ready
	for scanner := bufio.NewScanner(out); scanner.Scan() && ready.Event == ""; {
		_ = json.Unmarshal(scanner.Bytes(), &ready) // other lines are no JSON
		if ready.Event != "" {
			break
		}
	}
	require.Equal(t, "ready", ready.Event)
	spaces := namespaces(t, ready.InitPID)
	require.NotEmpty(t, remains(t, uptime(t), spaces, bin), "the check sees a living cluster")
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

// parentRole is that of the harness that TestKilledParent kills.
const parentRole = "parent"

// parent starts a cluster and waits until it is killed.
func parent() int {
	command := controlplane(os.Getenv("E2E_PARENT_OF"))
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	input, err := command.StdinPipe()
	if err == nil {
		err = command.Start()
	}
	if err == nil {
		_, err = input.Write([]byte(os.Getenv("E2E_CONFIG") + "\n"))
	}
	if err == nil {
		err = command.Wait()
	}
	fmt.Fprintln(os.Stderr, "parent: nobody killed it:", err)
	return 1
}
