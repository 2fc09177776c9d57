package kind

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// pretend makes commands, which are scripts of the shell, the only ones on the path, and a folder
// of clusters, which is returned with the file that every call is written to.
func pretend(t *testing.T, scripts map[string]string) (home, calls string) {
	t.Helper()
	bin, cache := t.TempDir(), t.TempDir()
	calls = filepath.Join(bin, "calls")
	for name, script := range scripts {
		text := "#!/bin/sh\necho " + name + ` "$@" >> ` + calls + "\n" + script + "\n"
		require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte(text), 0o700))
	}
	t.Setenv("PATH", bin)
	t.Setenv(engineVariable, "")
	t.Setenv("XDG_CACHE_HOME", cache)
	home = filepath.Join(cache, "certquake", "kind")
	return home, calls
}

// dockerWith is a Docker of one identity, with what its commands print.
func dockerWith(id, containers, networks string) map[string]string {
	return map[string]string{"docker": `case "$1 $2" in
"-v ") echo "Docker version 28.2.2, build e6534b4" ;;
"info --format") echo '{"ID":"` + id + `","CgroupVersion":"2","MemTotal":1}' ;;
"ps -a") printf '` + containers + `' ;;
"network ls") printf '` + networks + `' ;;
*) exit 1 ;;
esac`}
}

// called returns what the engine was asked to do.
func called(t *testing.T, calls string) string {
	t.Helper()
	text, err := os.ReadFile(calls)
	require.NoError(t, err)
	return string(text)
}

// What somebody else made is neither used nor removed, be it a cluster or only a network.
func TestNamesThatOthersHave(t *testing.T) {
	for name, test := range map[string]struct{ containers, networks, want string }{
		"cluster": {
			`mine-control-plane\n`, "", "a kind cluster mine exists that is none of certquake's: " +
				"choose another --cluster, or run on it by --backend existing --context kind-mine",
		},
		"network": {
			"", `mine\n`, "docker has a network mine, which is none of certquake's and would be " +
				"the cluster's: choose another --cluster",
		},
	} {
		t.Run(name, func(t *testing.T) {
			home, calls := pretend(t, dockerWith("a", test.containers, test.networks))
			options := Options{Cluster: "mine"}
			err := options.Check(scenarios.Plan{Nodes: plannedNodes()})
			require.ErrorIs(t, err, harness.ErrSettings)
			require.NotErrorIs(t, err, harness.ErrUnsupported)
			require.ErrorContains(t, err, test.want)
			_, err = options.Up(t.Context(), plannedNodes())
			require.ErrorIs(t, err, harness.ErrSettings)
			require.ErrorContains(t, err, test.want)
			assert.NoDirExists(t, filepath.Join(home, "mine"))
			assert.NotContains(t, called(t, calls), " rm ")
			assert.NotContains(t, called(t, calls), " run ")
		})
	}
}

// Until its making has begun, nothing of a cluster's name is its own.
func TestRemovalOfAClusterThatWasNeverMade(t *testing.T) {
	home, calls := pretend(t, dockerWith("a", `mine-control-plane\n`, `mine\n`))
	h := made(t, home, "mine", false)
	h.facts.Begun = false
	require.NoError(t, h.write())
	require.NoError(t, h.release())
	removed, err := Options{}.Prune(t.Context())
	require.NoError(t, err)
	assert.Len(t, removed, 1)
	assert.NoDirExists(t, filepath.Join(home, "mine"))
	assert.NoFileExists(t, calls)
}

// A cluster that is there is of its engine and has its settings.
func TestSettingsOfAClusterThatIsThere(t *testing.T) {
	t.Parallel()
	f := facts{Engine: "podman", NodeImage: "a/node:1", ManagerSource: chartWord}
	for _, same := range []Options{
		{}, {Engine: "podman", NodeImage: "a/node:1", CertManager: chartWord},
	} {
		require.NoError(t, same.differs("mine", f))
	}
	err := Options{
		Engine: "docker", NodeImage: "a/node:2", CertManager: "manager.yaml",
	}.differs("mine", f)
	require.ErrorIs(t, err, harness.ErrSettings)
	path, pathErr := filepath.Abs("manager.yaml")
	require.NoError(t, pathErr)
	for _, want := range []string{
		"cluster mine was made with --engine podman, not docker: drop --engine, choose another " +
			"--cluster, or remove this one by certquake cluster prune mine",
		"--node-image a/node:1, not a/node:2: drop --node-image,",
		"--cert-manager chart, not " + path + ": drop --cert-manager,",
	} {
		require.ErrorContains(t, err, want)
	}
}

// A cluster is looked for where it was made, whichever engine comes first otherwise.
func TestEngineOfAClusterThatIsThere(t *testing.T) {
	scripts := dockerWith("a", "", "")
	scripts["podman"] = `case $1 in -v) echo "podman version 5.4.2" ;;
*) echo '{"host":{"hostname":"h"},"store":{"graphRoot":"/g"}}' ;; esac`
	home, _ := pretend(t, scripts)
	h := made(t, home, "mine", true)
	h.facts.Engine, h.facts.EngineID = "podman", "h:/g"
	require.NoError(t, h.write())
	require.NoError(t, h.release())
	at, err := Options{Cluster: "mine"}.look(t.Context())
	require.NoError(t, err)
	assert.Equal(t, engine("podman"), at.engine)
	at, err = Options{Cluster: "other"}.look(t.Context())
	require.NoError(t, err)
	assert.Equal(t, engine("docker"), at.engine)
	_, err = Options{Cluster: "mine", Engine: "docker"}.look(t.Context())
	require.ErrorIs(t, err, harness.ErrSettings)
}

// Podman by Docker's name is Podman.
func TestCommandOfAnotherEngine(t *testing.T) {
	says := `case $1 in -v) echo "podman version 5.4.2" ;; *) echo '{}' ;; esac`
	pretend(t, map[string]string{"docker": says, "podman": says})
	got, err := findEngine(t.Context(), "")
	require.NoError(t, err)
	assert.Equal(t, engine("podman"), got)
	_, err = findEngine(t.Context(), "docker")
	require.ErrorContains(t, err, "the command docker is another engine's (podman version 5.4.2): "+
		"choose that by --engine")
}

// There are as many Dockers as there are contexts. That one has no such container says nothing of
// another.
func TestPruneOnAnotherEngine(t *testing.T) {
	home, calls := pretend(t, dockerWith("b", "", ""))
	for name, kept := range map[string]bool{"left": false, "kept": true} {
		h := made(t, home, name, kept)
		h.facts.EngineID = "a"
		require.NoError(t, h.write())
		require.NoError(t, h.release())
	}
	removed, err := Options{}.Prune(t.Context())
	assert.Empty(t, removed)
	require.ErrorContains(t, err, "cluster left: ")
	require.ErrorContains(t, err, "another docker (a) than the one that answers (b): choose that "+
		"one, as by DOCKER_HOST")
	require.NotContains(t, err.Error(), "cluster kept: ")
	_, err = Options{}.Remove(t.Context(), []string{"kept"})
	require.ErrorContains(t, err, "another docker (a)")
	_, err = Options{Cluster: "kept"}.look(t.Context())
	require.ErrorIs(t, err, harness.ErrSettings)
	for _, name := range []string{"left", "kept"} {
		assert.FileExists(t, filepath.Join(home, name, factsFile))
	}
	assert.NotContains(t, called(t, calls), " rm ")
}

// What a keeper left is found by the folder that it was given, which is not made anew, and is
// removed although kind's own lock is still there.
func TestSweep(t *testing.T) {
	home, calls := pretend(t, dockerWith("a", "", ""))
	gone := filepath.Join(t.TempDir(), "certquake", "cluster")
	h := made(t, home, "left", false)
	h.facts.Kubeconfig = filepath.Join(gone, kubeconfigFile)
	require.NoError(t, h.write())
	require.NoError(t, h.release())
	require.NoError(t, made(t, home, "other", false).release())
	removed, err := Options{}.Sweep(t.Context(), gone)
	require.NoError(t, err)
	require.Len(t, removed, 1)
	assert.Contains(t, removed[0], "kind cluster left of ")
	assert.Contains(t, called(t, calls), "label=io.x-k8s.kind.cluster=left")
	assert.NoDirExists(t, filepath.Dir(gone))
	assert.NoDirExists(t, filepath.Join(home, "left"))
	assert.DirExists(t, filepath.Join(home, "other"))
	removed, err = Options{}.Sweep(t.Context(), gone)
	require.NoError(t, err)
	assert.Empty(t, removed)

	locked := filepath.Join(home, "other", kubeconfigFile+".lock")
	require.NoError(t, os.WriteFile(locked, nil, 0o600))
	removed, err = Options{}.Prune(t.Context())
	require.NoError(t, err)
	assert.Len(t, removed, 1)
	assert.NoDirExists(t, filepath.Join(home, "other"))
}

// A removal that fails says how it is tried again, and what could not be removed is found again.
func TestRemovalThatFails(t *testing.T) {
	home, _ := pretend(t, map[string]string{"docker": "exit 1"})
	h := made(t, home, "mine", false)
	require.ErrorContains(t, h.remove(t.Context()), "; try again by certquake cluster prune")
	assert.FileExists(t, filepath.Join(home, "mine", factsFile))
	h = made(t, home, "yours", true)
	require.ErrorContains(t, h.remove(t.Context()), "; try again by certquake cluster prune yours")
}

// Memory is looked at wherever a cluster is made.
func TestMakeLooksForMemory(t *testing.T) {
	t.Parallel()
	c := &cluster{
		machine: machine{MemTotal: 1 << 20}, planned: plannedNodes(),
		home: made(t, t.TempDir(), "mine", false),
	}
	err := c.make(t.Context(), &stuff{})
	require.ErrorContains(t, err, "takes about 1450 MB of memory, and 1 MB are free")
	require.NoError(t, c.home.release())
}
