//go:build linux

package programs

import (
	"context"
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/certquake/certquake/clusters/programs/programstest"
	"github.com/certquake/certquake/harness"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engineFolder has the sources of the first step of two.
const engineFolder = "clusters/embedded/controlplane"

// two is a kit with a program of its own beside the workload.
func two() Kit {
	return Kit{For: "for the test", Make: "both", Steps: []Step{{
		What: "the engine", Programs: []string{"engine"}, Sources: []string{engineFolder},
		Dir:  engineFolder,
		Args: func(bin string) []string { return []string{"run", "./build", "-o", bin} },
	}, WorkloadStep()}}
}

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

// sources makes a checkout without anything to build in it.
func sources(t *testing.T) checkout {
	t.Helper()
	c := checkout{t.TempDir()}
	for path, text := range map[string]string{
		"go.mod":                            modulePath,
		"go.sum":                            "",
		"workloads/w.go":                    "",
		"harness/record/r.go":               "",
		markFile:                            "",
		engineFolder + "/main.go":           "",
		engineFolder + "/e2e/one_test.go":   "",
		"workloads/cmd/workload/program.go": "package main\n\nfunc main() {}\n",
	} {
		full := filepath.Join(c.root, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
		require.NoError(t, os.WriteFile(full, []byte(text), 0o644))
	}
	return c
}

// install puts programs into the folder, dated so long from now.
func install(t *testing.T, bin string, from time.Duration, names ...string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(bin, 0o755))
	at := time.Now().Add(from)
	for _, name := range names {
		require.NoError(t, programstest.ELF{}.Write(filepath.Join(bin, name)))
		require.NoError(t, os.Chtimes(filepath.Join(bin, name), at, at))
	}
}

func TestFind(t *testing.T) {
	t.Setenv("PATH", "") // no go
	nowhere := t.TempDir()
	both := two().names()
	t.Run("beside the running program", func(t *testing.T) {
		bin := t.TempDir()
		install(t, bin, -time.Hour, both...)
		got, err := two().findFrom(t.Context(), bin, sources(t).root)
		require.NoError(t, err)
		assert.Equal(t, bin, got)
	})
	t.Run("not all beside the running program", func(t *testing.T) {
		bin := t.TempDir()
		install(t, bin, -time.Hour, WorkloadName)
		_, err := two().findFrom(t.Context(), bin, nowhere)
		require.ErrorIs(t, err, ErrNone)
	})
	t.Run("checkout above the working folder", func(t *testing.T) {
		c := sources(t)
		install(t, c.bin(), time.Hour, both...)
		got, err := two().findFrom(t.Context(), nowhere, filepath.Join(c.root, "workloads"))
		require.NoError(t, err)
		assert.Equal(t, c.bin(), got)
	})
	t.Run("checkout above the running program", func(t *testing.T) {
		c := sources(t)
		install(t, c.bin(), time.Hour, both...)
		got, err := two().findFrom(t.Context(), c.bin(), nowhere)
		require.NoError(t, err)
		assert.Equal(t, c.bin(), got)
	})
	t.Run("older than the sources and no go", func(t *testing.T) {
		c := sources(t)
		install(t, c.bin(), -time.Hour, both...)
		ctx, said := talk(t)
		_, err := two().findFrom(ctx, c.bin(), nowhere)
		require.NoError(t, err)
		assert.Contains(t, said(), "workload may be older than the sources")
	})
	t.Run("nothing and no go", func(t *testing.T) {
		c := sources(t)
		_, err := two().findFrom(t.Context(), nowhere, c.root)
		require.ErrorIs(t, err, ErrNone)
		assert.ErrorContains(t, err, "make -C "+c.root+" both")
	})
	t.Run("nowhere", func(t *testing.T) {
		_, err := two().findFrom(t.Context(), nowhere, nowhere)
		require.ErrorIs(t, err, ErrNone)
		require.ErrorContains(t, err, "no programs for the test (engine, workload) in "+nowhere)
		assert.ErrorContains(t, err, "git clone https://github.com/certquake/certquake && "+
			"cd certquake && make build both && bin/certquake")
	})
}

// Workload takes a folder's program as it is, if it can run in a pod, and looks for no other.
func TestWorkloadInFolder(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	_, err := Workload(t.Context(), bin)
	require.ErrorContains(t, err, filepath.Join(bin, "workload")+" is missing: `make workload`")
	install(t, bin, -time.Hour, WorkloadName)
	path, err := Workload(t.Context(), bin)
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(bin, "workload"), path)
	require.NoError(t, programstest.ELF{Segment: elf.PT_INTERP}.Write(path))
	_, err = Workload(t.Context(), bin)
	assert.ErrorContains(t, err, "CGO_ENABLED=0")
}

// In a checkout Workload builds its program and nothing else, and again only after a source has
// changed.
func TestWorkloadBuilds(t *testing.T) {
	c := sources(t)
	t.Chdir(c.root)
	for _, row := range []struct {
		change string
		builds bool
	}{
		{"", true}, {"", false}, {engineFolder + "/main.go", false}, {"workloads/w.go", true},
	} {
		if row.change != "" {
			text := []byte("package " + filepath.Base(filepath.Dir(row.change)) + "\n")
			require.NoError(t, os.WriteFile(filepath.Join(c.root, row.change), text, 0o644))
		}
		ctx, said := talk(t)
		path, err := Workload(ctx, "")
		require.NoError(t, err)
		assert.Equal(t, filepath.Join(c.bin(), "workload"), path)
		assert.Equal(t, row.builds, strings.Contains(said(), "building the workload program"),
			"after %q: %s", row.change, said())
	}
	assert.NoFileExists(t, filepath.Join(c.bin(), "engine"))
}

func TestFresh(t *testing.T) {
	t.Parallel()
	c := sources(t)
	install(t, c.bin(), time.Hour, two().names()...)
	later := time.Now().Add(2 * time.Hour)
	for _, row := range []struct {
		path string
		want [2]bool
	}{
		{engineFolder + "/e2e/one_test.go", [2]bool{true, true}},
		{"workloads/w.go", [2]bool{true, false}},
		{engineFolder + "/main.go", [2]bool{false, false}},
	} {
		require.NoError(t, os.Chtimes(filepath.Join(c.root, row.path), later, later))
		for i, step := range two().Steps {
			fresh, err := c.fresh(step)
			require.NoError(t, err)
			assert.Equal(t, row.want[i], fresh, "%s after %s", step.What, row.path)
		}
	}
}

// A build that fails says what was typed and what came of it.
func TestBuildFails(t *testing.T) {
	t.Parallel()
	bad := Step{What: "it", Dir: ".", Args: func(string) []string {
		return []string{"build", "./workloads"}
	}}
	err := two().run(t.Context(), sources(t), bad)
	require.ErrorContains(t, err, "CGO_ENABLED=0 go build ./workloads")
	assert.ErrorContains(t, err, "expected 'package'")
}

// A program is as old as its build's beginning: what changes while go works is built next time.
func TestBuildDates(t *testing.T) {
	t.Parallel()
	c := sources(t)
	install(t, c.bin(), time.Hour, "engine")
	idle := Step{What: "it", Programs: []string{"engine"}, Dir: ".", Args: func(string) []string {
		return []string{"version"}
	}}
	require.NoError(t, two().run(t.Context(), c, idle))
	info, err := os.Stat(filepath.Join(c.bin(), "engine"))
	require.NoError(t, err)
	assert.True(t, info.ModTime().Before(time.Now()), "%s", info.ModTime())
}

// Whoever waits for another build says so once, and gives up when told to.
func TestBuildsWait(t *testing.T) {
	t.Parallel()
	c := sources(t)
	install(t, c.bin(), time.Hour, two().names()...)
	unlock, err := c.lock(t.Context())
	require.NoError(t, err)
	told, said := talk(t)
	ctx, cancel := context.WithCancelCause(told)
	enough := errors.New("enough")
	ended := make(chan error, 1)
	go func() { ended <- two().build(ctx, c) }()
	require.Eventually(t, func() bool { return said() != "" }, 5*time.Second, time.Millisecond)
	time.Sleep(2 * lockEvery)
	cancel(enough)
	require.ErrorIs(t, <-ended, enough)
	assert.Equal(t, c.root+": waiting for another build\n", said())
	unlock()
	require.NoError(t, two().build(t.Context(), c))
}
