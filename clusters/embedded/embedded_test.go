//go:build linux

package embedded

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// talk returns a context and what was said under it so far.
func talk(t *testing.T) (context.Context, func() string) {
	t.Helper()
	var mutex sync.Mutex
	var said strings.Builder
	ctx := harness.WithTalk(t.Context(), func(line string) {
		mutex.Lock()
		defer mutex.Unlock()
		said.WriteString(line + "\n")
	})
	return ctx, func() string {
		mutex.Lock()
		defer mutex.Unlock()
		return said.String()
	}
}

// bring brings up a fake cluster in a folder of its own and takes it down in the end.
func bring(t *testing.T, manner string) (*clusters.Target, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cluster")
	target, err := Up(t.Context(), nodes(manner), Options{Bin: fakePrograms(t), Dir: dir})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, target.Down(context.WithoutCancel(t.Context()))) })
	return target, dir
}

func TestUpAndDown(t *testing.T) {
	t.Parallel()
	ctx, said := talk(t)
	dir := filepath.Join(t.TempDir(), "cluster")
	long := strings.Repeat("n", nodeNameMax+1)
	target, err := Up(ctx, nodes("one", long), Options{Bin: fakePrograms(t), Dir: dir})
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(dir, "kubeconfig"), target.Kubeconfig)
	assert.Equal(t, "https://127.0.0.1:1", target.Config.Host)
	assert.Equal(t, map[string]string{"one": "one", long: "certquake-node-1"}, target.Nodes)
	assert.Equal(t, "certquake/workload", target.Image)
	assert.Equal(t, "v2", target.Versions["cert-manager"])
	assert.Contains(t, said(), "starting an embedded Kubernetes with 2 nodes\n")
	assert.Eventually(t, func() bool { // it comes by another pipe than the ready line
		log, unread := os.ReadFile(filepath.Join(dir, "controlplane.log"))
		return unread == nil && strings.Contains(string(log), "0.00s starting as one\n")
	}, 5*time.Second, time.Millisecond)
	assert.Contains(t, said(), "Kubernetes v1 and cert-manager v2 are ready at https://127.0.0.1:1")
	var verbs []scenarios.Verb
	for _, verb := range Verbs() {
		if target.Performs[verb] != nil {
			verbs = append(verbs, verb)
		}
	}
	assert.Equal(t, Verbs(), verbs)
	assert.Len(t, target.Performs, len(verbs))
	for range 2 {
		require.NoError(t, target.Down(t.Context()))
		assert.NoDirExists(t, dir)
		require.NoError(t, target.Cause())
	}
	select {
	case <-target.Broken:
		assert.Fail(t, "an end that was asked for is no break")
	default:
	}
	_, err = target.Performs[scenarios.StopIssuer](t.Context(),
		scenarios.Action{Verb: scenarios.StopIssuer})
	require.ErrorIs(t, err, errEnded)
}

// Every verb sends its command and says what was seen.
func TestPerform(t *testing.T) {
	t.Parallel()
	target, _ := bring(t, "one")
	slow := nodes("one")[0]
	for want, action := range map[string]scenarios.Action{
		"the kernel shows the kubelet of one stopped, 1.5ms after the command": {
			Verb: scenarios.PauseSync, Node: "one",
		},
		"the kernel shows the kubelet of one going on, 1.5ms after the command": {
			Verb: scenarios.ResumeSync, Node: "one",
		},
		"the kubelet of one serves with syncFrequency 1m0s and Watch, 1.5ms after the command": {
			Verb: scenarios.ConfigureKubelet, Node: "one", Kubelet: &slow,
		},
		"cert-manager's controller and CA injector have ended, 1.5ms after the command": {
			Verb: scenarios.StopIssuer, Mode: scenarios.OutageStop,
		},
	} {
		seen, err := target.Performs[action.Verb](t.Context(), action)
		require.NoError(t, err)
		assert.Equal(t, want, seen)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	target, _ := bring(t, "one")
	odd := nodes("one")[0]
	odd.ChangeDetection, odd.CacheTTL = scenarios.Cache, 1500*time.Millisecond
	for name, row := range map[string]struct {
		action scenarios.Action
		err    error
		want   string
	}{
		"by the cluster": {
			scenarios.Action{Verb: scenarios.StopWebhook}, errRefused, "stop-webhook: not now",
		},
		"unknown node": {
			scenarios.Action{Verb: scenarios.PauseSync, Node: "two"},
			harness.ErrUnsupported,
			`no node "two"`,
		},
		"one issuer": {
			scenarios.Action{Verb: scenarios.StopIssuer, Issuer: "default/ca"},
			harness.ErrUnsupported, "as a whole",
		},
		"failing requests": {
			scenarios.Action{Verb: scenarios.StopIssuer, Mode: scenarios.OutageFail},
			harness.ErrUnsupported, "as a whole",
		},
		"half a second": {
			scenarios.Action{Verb: scenarios.ConfigureKubelet, Node: "one", Kubelet: &odd},
			harness.ErrUnsupported, "whole seconds",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := target.Performs[row.action.Verb](t.Context(), row.action)
			require.ErrorIs(t, err, row.err)
			assert.ErrorContains(t, err, row.want)
		})
	}
}

// Answers are matched by id, whatever their order.
func TestAnswersOutOfOrder(t *testing.T) {
	t.Parallel()
	target, _ := bring(t, "reverse")
	stop := make(chan string, 1)
	go func() {
		seen, err := target.Performs[scenarios.PauseSync](t.Context(),
			scenarios.Action{Verb: scenarios.PauseSync, Node: "reverse"})
		assert.NoError(t, err)
		stop <- seen
	}()
	seen, err := target.Performs[scenarios.StartIssuer](t.Context(),
		scenarios.Action{Verb: scenarios.StartIssuer})
	require.NoError(t, err)
	assert.Contains(t, seen, "have started")
	assert.Contains(t, <-stop, "stopped")
}

// Lines that are no part of the protocol are logged and passed over.
func TestGarbage(t *testing.T) {
	t.Parallel()
	target, dir := bring(t, "garbage")
	_, err := target.Performs[scenarios.StopIssuer](t.Context(),
		scenarios.Action{Verb: scenarios.StopIssuer})
	require.NoError(t, err)
	log, err := os.ReadFile(filepath.Join(dir, "controlplane.log"))
	require.NoError(t, err)
	assert.Contains(t, string(log), "passed over: \x00\xff{]\n")
	assert.Contains(t, string(log), `passed over: {"event":"news"}`)
	assert.Less(t, len(log), 5000)
}

// A cluster that ends by itself says why, keeps its logs, and can still be taken down.
func TestBroken(t *testing.T) {
	t.Parallel()
	for verb, want := range map[scenarios.Verb]string{
		scenarios.StopAPI:  "etcd: ended by itself (its log is here)",
		scenarios.StartAPI: "controlplane ended by itself: signal: killed, after saying: ",
	} {
		t.Run(string(verb), func(t *testing.T) {
			t.Parallel()
			target, dir := bring(t, "one")
			require.NoError(t, target.Cause())
			_, err := target.Performs[verb](t.Context(), scenarios.Action{Verb: verb})
			require.ErrorIs(t, err, clusters.ErrBroken)
			<-target.Broken
			require.ErrorIs(t, target.Cause(), clusters.ErrBroken)
			require.ErrorContains(t, target.Cause(), want)
			require.ErrorContains(t, target.Cause(), "(logs are in "+dir+")")
			require.NoError(t, target.Down(t.Context()))
			assert.FileExists(t, filepath.Join(dir, "controlplane.log"))
			require.Error(t, target.Cause(), "it stays broken")
		})
	}
}

// Waiting for an answer ends with the caller's patience; the cluster goes on.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	target, _ := bring(t, "one")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := target.Performs[scenarios.StartWebhook](ctx,
		scenarios.Action{Verb: scenarios.StartWebhook})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = target.Performs[scenarios.StopIssuer](t.Context(),
		scenarios.Action{Verb: scenarios.StopIssuer})
	require.NoError(t, err)
}

// One that does not end is killed.
func TestStubborn(t *testing.T) {
	t.Parallel()
	target, dir := bring(t, "stubborn")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.NoError(t, target.Down(ctx))
	assert.NoDirExists(t, dir)
}

func TestFailedStart(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		manner   string
		readyMax time.Duration
		want     string
		kept     bool
	}{
		{"refuses", time.Minute, "the kernel says no: sysctl -w a.b=1", false},
		{
			"dies", time.Minute,
			"controlplane ended by itself: exit status 7, after saying: 0.00s starting", true,
		},
		{
			"silent", 3 * time.Second,
			"not ready within 3s, after saying: 0.00s starting as silent", false,
		},
	} {
		t.Run(row.manner, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "cluster")
			_, err := Up(t.Context(), nodes(row.manner),
				Options{Bin: fakePrograms(t), Dir: dir, readyMax: row.readyMax})
			require.ErrorIs(t, err, clusters.ErrBroken)
			require.ErrorContains(t, err, row.want)
			if row.kept {
				require.ErrorContains(t, err, "(logs are in "+dir+")")
				assert.FileExists(t, filepath.Join(dir, "controlplane.log"))
			} else {
				assert.NoDirExists(t, dir)
			}
		})
	}
}

func TestInterruptedStart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cluster")
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	ctx = harness.WithTalk(ctx, func(line string) {
		if strings.Contains(line, "starting as silent") {
			cancel(cause)
		}
	})
	_, err := Up(ctx, nodes("silent"), Options{Bin: fakePrograms(t), Dir: dir})
	require.ErrorIs(t, err, cause)
	require.NotErrorIs(t, err, clusters.ErrBroken)
	assert.NoDirExists(t, dir)
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	bin := fakePrograms(t)
	full := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(full, "mine"), nil, 0o600))
	odd := nodes("one")
	odd[0].ChangeDetection = "Poll"
	for name, row := range map[string]struct {
		nodes []scenarios.PlannedNode
		o     Options
		want  string
	}{
		"no nodes":      {nil, Options{Bin: bin}, "0 nodes: the embedded cluster has 1 to 200"},
		"odd detection": {odd, Options{Bin: bin}, `node one: changeDetection "Poll" is none of`},
		"no image": {
			nodes("one"),
			Options{Bin: bin, Images: map[string]string{"mine": full + "/none"}},
			"image mine: " + full + "/none is missing",
		},
		"used folder": {nodes("one"), Options{Bin: bin, Dir: full}, "holds mine already"},
		"no programs": {nodes("one"), Options{Bin: full}, "ctrinit is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Up(t.Context(), row.nodes, row.o)
			require.ErrorIs(t, err, clusters.ErrBroken)
			assert.ErrorContains(t, err, row.want)
		})
	}
	assert.FileExists(t, filepath.Join(full, "mine"))
}

func TestCheck(t *testing.T) {
	t.Parallel()
	plan := scenarios.Plan{Nodes: nodes("one")}
	require.NoError(t, Check(plan))
	odd := plan.Nodes[0]
	odd.ChangeDetection, odd.CacheTTL = scenarios.Cache, time.Millisecond
	plan.Actions = []scenarios.Action{{
		ID: "faults[0]/configure", Verb: scenarios.ConfigureKubelet, Node: "one", Kubelet: &odd,
	}}
	err := Check(plan)
	require.ErrorIs(t, err, harness.ErrUnsupported)
	assert.ErrorContains(t, err, "faults[0]/configure: cacheTTL 1ms: kubelets know whole seconds")
}

// Folders of killed owners are removed; those of living ones and those kept for people are not.
func TestStaleFolders(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	stale := filepath.Join(temporary, folderPrefix+"1")
	kept := filepath.Join(temporary, folderPrefix+"2")
	foreign := filepath.Join(temporary, "other")
	for _, dir := range []string{stale, kept, foreign} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "logs"), 0o700))
	}
	for _, dir := range []string{stale, foreign} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, lockName), nil, 0o600))
	}
	require.NoError(t, os.Symlink(foreign, filepath.Join(temporary, folderPrefix+"3")))
	one, err := openFolder("")
	require.NoError(t, err)
	other, err := openFolder("")
	require.NoError(t, err)
	assert.NoDirExists(t, stale)
	for _, dir := range []string{kept, foreign, one.path, other.path} {
		assert.DirExists(t, dir)
	}
	require.NoError(t, one.keep())
	require.NoError(t, other.remove())
	removeStale(temporary)
	assert.DirExists(t, one.path)
	assert.NoDirExists(t, other.path)
}
