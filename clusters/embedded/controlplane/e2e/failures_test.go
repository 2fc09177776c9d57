//go:build embedded

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/clusters/embedded/controlplane/cluster"
)

// TestLostPart kills each part of a cluster that runs a pod, and wants to be told which: one
// error, exit code 1, and nothing left.
func TestLostPart(t *testing.T) {
	bin, image := programs(t), testpod(t)
	for part, args := range map[string][]string{
		"control-plane":        {"up"},
		"cert-manager":         {"certmanager", "-part=controller"},
		"cert-manager-webhook": {"certmanager", "-part=webhook"},
		"services":             {"proxy"},
		"dns":                  {"dns"},
		"cri/one":              {"cri"},
		"kubelet/one":          {"kubelet"},
	} {
		t.Run(strings.ReplaceAll(part, "/", "-"), func(t *testing.T) {
			dir := t.TempDir()
			r := start(t, bin, cluster.Config{
				Dir: dir, Nodes: []cluster.Node{node("one", time.Second)},
				Images: map[string]string{testImage: image},
			})
			connect(t, r.ready.Kubeconfig).run(workload("survivor"))
			spaces := namespaces(t, r.ready.InitPID)
			kill(t, r, args)
			killed := time.Now()
			var failed cluster.Failed
			r.receive(10*time.Second, &failed)
			assert.Equal(t, "failed", failed.Event)
			assert.Contains(t, failed.Error, part+": ended by itself: signal: killed")
			assert.NotContains(t, failed.Error, "\n", "one error")
			require.Error(t, r.command.Wait())
			assert.Equal(t, 1, r.command.ProcessState.ExitCode())
			requireGone(t, spaces, bin, dir)
			t.Logf("everything gone %s after the end of %s",
				time.Since(killed).Round(time.Millisecond), part)
		})
	}
}

// kill ends the one process of the cluster that has all the arguments.
func kill(t *testing.T, r *running, args []string) {
	t.Helper()
	for _, each := range family(t, r.ready.InitPID) {
		if len(each.args) < 2 || each.args[0] != "controlplane" || each.args[1] != args[0] {
			continue
		}
		if len(args) == 1 || slices.Contains(each.args, args[1]) {
			require.NoError(t, syscall.Kill(each.pid, syscall.SIGKILL))
			return
		}
	}
	require.Fail(t, "no such process", "%v", args)
}

// TestRefusedConfig wants every problem at once.
func TestRefusedConfig(t *testing.T) {
	command := controlplane(programs(t))
	command.Stdin = strings.NewReader(
		`{"dir":"x","nodes":[{"name":"A","changeDetection":"Poll"}],"images":{"i":"/none"}}`)
	failed := refused(t, command)
	for _, want := range []string{
		`dir "x" is not absolute`, `nodes[0].name: "A"`, `nodes[0].changeDetection "Poll"`,
		`images["i"]: stat /none`,
	} {
		assert.Contains(t, failed, want)
	}
}

// TestRefusedFolder has no right to write to the run folder.
func TestRefusedFolder(t *testing.T) {
	command := controlplane(programs(t))
	command.Stdin = input(t, cluster.Config{
		Dir: "/proc/none", Nodes: []cluster.Node{node("one", time.Second)},
	})
	assert.Contains(t, refused(t, command), "mkdir /proc/none")
}

// TestFullDisk has no space for the run folder, from the start or from some moment on.
func TestFullDisk(t *testing.T) {
	needs(t, os.Geteuid() == 0, "root, to mount a small disk")
	bin, image := programs(t), testpod(t)
	config := func(t *testing.T) cluster.Config {
		t.Helper()
		return cluster.Config{
			Dir: disk(t), Images: map[string]string{testImage: image},
			Nodes: []cluster.Node{node("one", time.Second)},
		}
	}
	t.Run("at the start", func(t *testing.T) {
		full := config(t)
		fill(t, full.Dir)
		command := controlplane(bin)
		command.Stdin = input(t, full)
		assert.Contains(t, refused(t, command), "no space left on device")
		requireGone(t, nil, bin)
	})
	t.Run("later", func(t *testing.T) {
		small := config(t)
		r := start(t, bin, small)
		api := connect(t, r.ready.Kubeconfig)
		api.run(workload("talks"))
		spaces := namespaces(t, r.ready.InitPID)
		fill(t, small.Dir)
		_, _ = api.ask("POST", "talks", "/print", values("count", "100", "length", "1000"), "")
		var failed cluster.Failed
		r.receive(10*time.Second, &failed)
		t.Log(failed.Error)
		assert.Contains(t, failed.Error, "cri/one: ended by itself")
		assert.Contains(t, failed.Error, "no space is left in "+small.Dir)
		require.Error(t, r.command.Wait())
		assert.Equal(t, 1, r.command.ProcessState.ExitCode())
		requireGone(t, spaces, bin)
	})
}

// disk mounts a file system of four megabytes and returns its folder.
func disk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, syscall.Mount("small", dir, "tmpfs", 0, "size=4m"))
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(dir, 0)) })
	return dir
}

// fill leaves no byte.
func fill(t *testing.T, dir string) {
	t.Helper()
	file, err := os.Create(filepath.Join(dir, "filler"))
	require.NoError(t, err)
	for err == nil {
		_, err = file.Write(make([]byte, 4096))
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, file.Close())
}

// TestRefusedNamespaces starts a cluster as an ordinary user whom the kernel lets have none.
func TestRefusedNamespaces(t *testing.T) {
	needs(t, os.Geteuid() == 0, "root, to limit another user's namespaces")
	// The limit holds in a user namespace of the helper's own, not for this machine.
	helper := exec.Command(os.Args[0])
	helper.Env = append(os.Environ(), roleVariable+"="+limitedRole,
		"E2E_WITHOUT_NAMESPACES="+programs(t))
	helper.Stdin = input(t, cluster.Config{
		Dir: t.TempDir(), Nodes: []cluster.Node{node("one", time.Second)},
	})
	ids := []syscall.SysProcIDMap{{Size: 65536}}
	helper.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids,
	}
	failed := refused(t, helper)
	t.Log(failed)
	assert.Contains(t, failed, cluster.ErrNoNamespaces.Error())
	assert.Contains(t, failed, "`sysctl -w user.max_user_namespaces=15000`")
}

// limitedRole is that of the user whom TestRefusedNamespaces allows no namespaces.
const limitedRole = "limited"

// limited forbids namespaces in the one it runs in and starts a cluster as an ordinary user.
func limited() int {
	const limit = "/proc/sys/user/max_user_namespaces"
	if err := os.WriteFile(limit, []byte("0"), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "limited:", err)
		return 2
	}
	command := controlplane(os.Getenv("E2E_WITHOUT_NAMESPACES"))
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: 1000, Gid: 1000, NoSetGroups: true},
	}
	err := command.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); !exited {
		fmt.Fprintln(os.Stderr, "limited: the cluster did not start or ended well:", err)
		return 2
	}
	return command.ProcessState.ExitCode()
}

func input(t *testing.T, config cluster.Config) *bytes.Reader {
	t.Helper()
	text, err := json.Marshal(config)
	require.NoError(t, err)
	return bytes.NewReader(append(text, '\n'))
}

// refused runs a command that must not start a cluster, and returns why: its one line of the
// protocol. It must end with exit code 1.
func refused(t *testing.T, command *exec.Cmd) string {
	t.Helper()
	out, err := command.Output()
	require.Error(t, err)
	assert.Equal(t, 1, command.ProcessState.ExitCode())
	var failed cluster.Failed
	require.NoError(t, json.Unmarshal(out, &failed), "%s", out)
	assert.Equal(t, "failed", failed.Event)
	return failed.Error
}
