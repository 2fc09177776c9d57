//go:build e2e

package kind

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// lifeMax bounds each test of how clusters begin and end.
const lifeMax = 5 * time.Minute

// life is an engine in which a test leaves nothing, and a folder of clusters of its own.
type life struct {
	engine engine
	home   string
	names  []string // of clusters and networks
	before string   // what the engine has
}

// begin notes what the engine has, and has the test fail if it has more of it in the end.
func begin(t *testing.T) (context.Context, *life) {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), lifeMax)
	t.Cleanup(cancel)
	ctx = harness.WithTalk(ctx, func(line string) { t.Log(line) })
	e, err := findEngine(ctx, "")
	require.NoError(t, err)
	home, err := homeDir()
	require.NoError(t, err)
	l := &life{engine: e, home: home}
	l.before = l.listing(ctx, t)
	t.Cleanup(func() { l.left(ctx, t) })
	return ctx, l
}

// left asserts that there is no more than in the beginning.
func (l *life) left(ctx context.Context, t *testing.T) {
	t.Helper()
	err := until(ctx, "return to "+l.before, askEvery, clearMax,
		func(ctx context.Context) (bool, error) {
			now := l.listing(ctx, t)
			for line := range strings.Lines(now) {
				if !strings.Contains(l.before, strings.TrimSpace(line)) {
					return false, fmt.Errorf("there is %s", now)
				}
			}
			return true, nil
		})
	assert.NoError(t, err)
}

// listing is the engine's containers and networks of the names, and its volumes that no container
// has, as all have for a moment: other tests may be at work on the same engine.
func (l *life) listing(ctx context.Context, t *testing.T) string {
	t.Helper()
	all := []string{l.do(ctx, t, "volume", "ls", "--quiet", "--filter", "dangling=true")}
	for _, name := range l.names {
		all = append(all, l.do(ctx, t, "ps", "--all", "--quiet", "--filter", labelled(name)),
			l.do(ctx, t, "network", "ls", "--quiet", "--filter", "name=^"+name+"$"))
	}
	return strings.TrimSpace(strings.Join(all, "\n"))
}

// labelled is the filter of a cluster's containers.
func labelled(cluster string) string { return "label=io.x-k8s.kind.cluster=" + cluster }

// clusters returns the names of the clusters that have a folder.
func (l *life) clusters(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(l.home)
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names
}

// do has the engine do something that must not fail.
func (l *life) do(ctx context.Context, t *testing.T, args ...string) string {
	t.Helper()
	text, err := l.engine.do(ctx, args...)
	require.NoError(t, err)
	return text
}

// A cluster and a network that certquake did not make are left alone, whatever a run is told.
func TestOthersAreLeftAlone(t *testing.T) {
	ctx, l := begin(t)
	image, here, err := Options{}.pick(ctx, l.engine)
	require.NoError(t, err)
	require.True(t, here, "the engine has %s", image)
	theirs := "theirs-" + token()
	l.do(ctx, t, "run", "--detach", "--label", "io.x-k8s.kind.cluster="+theirs, "--name",
		controlName(theirs), "--network", "none", "--entrypoint", "sleep", image, "600")
	t.Cleanup(func() { l.do(ctx, t, "rm", "--force", "--volumes", controlName(theirs)) })
	network := "net-" + token()
	l.do(ctx, t, "network", "create", network)
	t.Cleanup(func() { l.do(ctx, t, "network", "rm", network) })
	l.names = []string{theirs, network}
	there := l.listing(ctx, t)
	assert.NotEqual(t, l.before, there)
	for _, name := range []string{theirs, network, "bridge"} {
		options := Options{Cluster: name, Bin: os.Getenv("CERTQUAKE_BIN")}
		plan := scenarios.Plan{Nodes: plannedNodes()[:1]}
		require.ErrorIs(t, options.Check(plan), harness.ErrSettings, name)
		_, err = options.Up(ctx, plan.Nodes)
		require.ErrorIs(t, err, harness.ErrSettings, name)
	}
	removed, err := Options{}.Prune(ctx)
	require.NoError(t, err)
	assert.Empty(t, removed)
	assert.Equal(t, there, l.listing(ctx, t))
	assert.Empty(t, l.clusters(t))
	running, err := l.engine.running(ctx, controlName(theirs))
	require.NoError(t, err)
	assert.True(t, running)
}

// A cluster with a name stays, is used again with other settings of its nodes, but not with what it
// was not made of, and goes by its name only.
func TestClusterThatStays(t *testing.T) {
	ctx, l := begin(t)
	options := Options{Cluster: "stays-" + token(), Bin: os.Getenv("CERTQUAKE_BIN")}
	l.names = []string{options.Cluster}
	t.Cleanup(func() { // after a failure
		_, _ = Options{}.Remove(ctx, l.clusters(t))
	})
	nodes := plannedNodes()
	first := l.use(ctx, t, options, nodes[:1])
	second := l.use(ctx, t, options, []scenarios.PlannedNode{
		{Name: "other", SyncFrequency: 7 * time.Second, ChangeDetection: scenarios.Get},
	})
	assert.Equal(t, first.Nodes["fast"], second.Nodes["other"], "the same worker")
	assert.NotEqual(t, first.Run, second.Run)
	settings := l.do(ctx, t, "exec", second.Nodes["other"], "cat", "/var/lib/kubelet/config.yaml")
	assert.Contains(t, settings, "syncFrequency: 7s\n")
	assert.Contains(t, settings, "configMapAndSecretChangeDetectionStrategy: Get\n")

	image := options
	image.NodeImage = "certquake/node:other"
	require.ErrorIs(t, image.Check(scenarios.Plan{Nodes: nodes[:1]}), harness.ErrSettings)
	_, err := image.Up(ctx, nodes[:1])
	require.ErrorContains(t, err, ", not certquake/node:other: drop --node-image, choose another")
	_, err = options.Up(ctx, nodes[:2])
	require.ErrorContains(t, err, "has one worker, not the 2 of this scenario")
	removed, err := Options{}.Prune(ctx)
	require.NoError(t, err)
	assert.Empty(t, removed)
	running, err := l.engine.running(ctx, first.Nodes["fast"])
	require.NoError(t, err)
	assert.True(t, running, "it still stays")

	removed, err = Options{}.Remove(ctx, []string{options.Cluster})
	require.NoError(t, err)
	assert.Len(t, removed, 1)
	assert.Empty(t, l.clusters(t))
}

// use brings the cluster up, as a run does, and leaves it.
func (l *life) use(
	ctx context.Context, t *testing.T, options Options, nodes []scenarios.PlannedNode,
) *clusters.Target {
	t.Helper()
	target, err := options.Up(ctx, nodes)
	require.NoError(t, err)
	assert.True(t, target.Shared)
	assert.NotEmpty(t, target.Run)
	_, err = options.Up(ctx, nodes)
	require.ErrorIs(t, err, errInUse)
	require.NoError(t, target.Down(ctx))
	return target
}

// What a run that is killed while its cluster is made leaves, prune removes. What a keeper leaves
// that is killed then, the command removes that has started it, or else the one that ends it.
func TestProcessesThatAreKilled(t *testing.T) {
	program := filepath.Join(t.TempDir(), "certquake")
	built, err := exec.CommandContext(t.Context(), "go", "build", "-o", program,
		"../..").CombinedOutput()
	require.NoError(t, err, "%s", built)
	ctx, l := begin(t)
	state := t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	t.Cleanup(func() { _, _ = Options{}.Prune(ctx) }) // after a failure

	run := exec.CommandContext(ctx, program, "run", "quick-leaf-rotation", "--backend", "kind",
		"--speed", "10", "--out", t.TempDir())
	require.NoError(t, run.Start())
	l.awaitContainer(ctx, t)
	require.NoError(t, run.Process.Kill())
	require.Error(t, run.Wait())
	require.Len(t, l.clusters(t), 1)
	removed, err := Options{}.Prune(ctx)
	require.NoError(t, err)
	assert.Len(t, removed, 1)
	l.left(ctx, t)
	require.Empty(t, l.clusters(t))

	up := exec.CommandContext(ctx, program, "cluster", "up", "--backend", "kind")
	require.NoError(t, up.Start())
	l.awaitContainer(ctx, t)
	text, err := os.ReadFile(filepath.Join(state, "certquake/clusters/certquake/lock"))
	require.NoError(t, err)
	pid, err := strconv.Atoi(string(text))
	require.NoError(t, err)
	keeper, err := os.FindProcess(pid)
	require.NoError(t, err)
	require.NoError(t, keeper.Kill())
	require.Error(t, up.Wait())
	down := exec.CommandContext(ctx, program, "cluster", "down")
	said, err := down.CombinedOutput() // whether there are logs to remove depends on how far it was
	t.Logf("%v: %s", err, said)
	l.left(ctx, t)
	assert.Empty(t, l.clusters(t))
	assert.NoDirExists(t, filepath.Join(state, "certquake/clusters/certquake"))
}

// awaitContainer waits until the one cluster that has a folder has a container.
func (l *life) awaitContainer(ctx context.Context, t *testing.T) {
	t.Helper()
	err := until(ctx, "begin with a cluster", deleteEvery, containersMax,
		func(ctx context.Context) (bool, error) {
			entries, err := os.ReadDir(l.home)
			for _, entry := range entries {
				nodes, listErr := l.engine.do(ctx, "ps", "--all", "--quiet", "--filter",
					labelled(entry.Name()))
				if nodes != "" || listErr != nil {
					l.names = append(l.names, entry.Name())
					return true, listErr
				}
			}
			return false, err
		})
	require.NoError(t, err)
}
