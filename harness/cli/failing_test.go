package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/cli"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/reports"
	"github.com/certquake/certquake/scenarios"
)

// failing is a backend, and its world, that fails where it is told to.
type failing struct {
	check, open, sleep error
	during             func() // a run, once it has begun
}

func (failing) Name() string                 { return "failing" }
func (failing) Basis() record.Basis          { return record.Measured }
func (f failing) Check(scenarios.Plan) error { return f.check }

func (f failing) Open(
	_ context.Context, _ scenarios.Plan, sink record.Sink,
) (harness.World, error) {
	if f.open != nil {
		return nil, f.open
	}
	if f.during != nil {
		f.during()
	}
	return f, sink.Write(record.Span{Kind: record.Begin})
}

func (f failing) Sleep(_ context.Context, until time.Duration) error {
	if until > time.Minute {
		return f.sleep
	}
	return nil
}

func (failing) Do(context.Context, scenarios.Action) error { return nil }
func (failing) Close(context.Context) error                { return nil }

// run runs the command line on the backend and returns the exit code and what was printed.
func run(ctx context.Context, backend cli.Backend, args ...string) (code int, out, err string) {
	var stdout, stderr bytes.Buffer
	code = cli.Main(ctx, cli.Env{
		Args: args, Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
		Backends: []cli.Backend{backend}, Version: "v0.0.0-test",
	})
	return code, stdout.String(), stderr.String()
}

// A run that its backend cannot finish is reported as far as it went, and is an error. Those after
// it still run.
func TestRunFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	backend := failing{sleep: errors.New("the node is gone")}
	code, out, talk := run(t.Context(), backend,
		"run", "leaf-rotation", "ca-swap-abrupt", "--out", dir)
	assert.Equal(t, cli.ExitFail, code)
	assert.Contains(t, talk, "certquake: leaf-rotation: wait for rotateLeaf[0]#1/reissue "+
		"at 10m0s: the node is gone\n")
	assert.Contains(t, out, "leaf-rotation: INCONCLUSIVE, the run is incomplete: 0s of 1h10m\n")
	assert.Contains(t, out, "0 of 2 scenarios ended as expected; not so: leaf-rotation, "+
		"ca-swap-abrupt\n")
	report, err := reports.Rebuild(filepath.Join(dir, "leaf-rotation"))
	require.NoError(t, err)
	assert.False(t, report.Complete)
	assert.FileExists(t, filepath.Join(dir, "ca-swap-abrupt", reports.HTMLFile))
}

// A world that breaks proves nothing: the run is inconclusive, and its report says why.
func TestRunBroken(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	backend := failing{sleep: fmt.Errorf("%w: the kubelet ended", harness.ErrBroken)}
	code, out, talk := run(t.Context(), backend, "run", "leaf-rotation", "--out", dir)
	assert.Equal(t, cli.ExitInconclusive, code)
	assert.Contains(t, talk, "the world does not work: the kubelet ended\n")
	assert.Contains(t, out, "leaf-rotation: INCONCLUSIVE, the run is incomplete")
	page, err := os.ReadFile(filepath.Join(dir, reports.TextFile))
	require.NoError(t, err)
	assert.Contains(t, string(page), "the kubelet ended")
}

// A run whose world never comes up leaves an earlier one as it is.
func TestRunKeepsEarlier(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	code, _, talk := run(t.Context(), failing{}, "run", "leaf-rotation", "--out", dir)
	require.Equal(t, cli.ExitFail, code, talk) // nothing was dialled
	before, err := os.ReadFile(filepath.Join(dir, reports.RecordFile))
	require.NoError(t, err)
	broken := failing{open: fmt.Errorf("%w: no namespaces", harness.ErrBroken)}
	code, out, talk := run(t.Context(), broken, "run", "ca-swap-abrupt", "--out", dir)
	assert.Equal(t, cli.ExitInconclusive, code)
	assert.Empty(t, out)
	assert.Contains(t, talk, dir+" keeps the earlier run\n")
	assert.Contains(t, talk, "no namespaces\n")
	after, err := os.ReadFile(filepath.Join(dir, reports.RecordFile))
	require.NoError(t, err)
	assert.Equal(t, string(before), string(after))
	report, err := reports.Rebuild(dir)
	require.NoError(t, err)
	assert.Equal(t, "leaf-rotation", report.Scenario)
}

// Two runs do not share a folder.
func TestRunOccupies(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	code, talk := 0, ""
	first := failing{during: func() {
		code, _, talk = run(t.Context(), failing{}, "run", "leaf-rotation", "--out", dir)
	}}
	run(t.Context(), first, "run", "leaf-rotation", "--out", dir)
	assert.Equal(t, cli.ExitUsage, code)
	assert.Contains(t, talk, "certquake: leaf-rotation: a run is going on in "+dir+"\n"+
		"certquake: hint: wait for it, or choose another --out\n")
	assert.NoFileExists(t, filepath.Join(dir, ".running"))
	code, _, talk = run(t.Context(), failing{}, "run", "leaf-rotation", "--out", dir)
	assert.Equal(t, cli.ExitFail, code, talk)
}

// What the backend cannot perform is inconclusive, and leaves nothing behind.
func TestRunUnsupported(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	backend := failing{check: fmt.Errorf("%w: skewClock", harness.ErrUnsupported)}
	code, out, talk := run(t.Context(), backend, "run", "leaf-rotation", "--out", dir)
	assert.Equal(t, cli.ExitInconclusive, code)
	assert.Empty(t, out)
	assert.Equal(t,
		"certquake: leaf-rotation.yaml: not supported by this backend: skewClock\n", talk)
	assert.NoDirExists(t, dir)
}

// An interrupt before anything has started ends at once, even with standard input left open.
func TestInterruptedWhileReading(t *testing.T) {
	t.Parallel()
	in, feed, err := os.Pipe()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	code := cli.Main(ctx, cli.Env{
		Args: []string{"run", "-"}, Stdin: in, Stdout: &stdout, Stderr: &stderr,
		Backends: []cli.Backend{failing{}},
	})
	assert.Equal(t, cli.ExitInconclusive, code)
	assert.Empty(t, stdout.String())
	assert.Equal(t, "certquake: interrupted before anything was run\n", stderr.String())
	require.NoError(t, feed.Close())
	require.NoError(t, in.Close())
}
