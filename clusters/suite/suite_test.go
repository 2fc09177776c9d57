package suite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"sigs.k8s.io/e2e-framework/pkg/env"
	"sigs.k8s.io/e2e-framework/pkg/envconf"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/clusters/kube/operator"
	"github.com/certquake/certquake/clusters/suite"
	"github.com/certquake/certquake/harness/sim"
	"github.com/certquake/certquake/reports"
	"github.com/certquake/certquake/scenarios"
)

// interruptedVariable has this program bring a cluster up and wait to be interrupted.
const interruptedVariable = "CERTQUAKE_SUITE_INTERRUPTED"

// TestMain is also the program that a test interrupts.
func TestMain(m *testing.M) {
	operator.Main()
	if os.Getenv(interruptedVariable) != "" {
		hang()
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// hang is a test that does not mind its context.
func hang() {
	cluster := fake{down: func() { fmt.Println("down") }}
	ctx, err := suite.Up(cluster.provider(), 1)(context.Background(), envconf.New())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("up")
	<-ctx.Done()
	fmt.Println(context.Cause(ctx))
	time.Sleep(time.Minute)
}

// fake provides clusters that are nothing but a kubeconfig's name.
type fake struct {
	up   func(ctx context.Context, plan scenarios.Plan) error // may be nil
	down func()
}

func (f fake) provider() kube.Provider {
	return kube.Provider{
		Name: "fake",
		Up: func(ctx context.Context, plan scenarios.Plan) (*clusters.Target, error) {
			if f.up != nil {
				if err := f.up(ctx, plan); err != nil {
					return nil, err
				}
			}
			target := &clusters.Target{Kubeconfig: "the-kubeconfig", Nodes: map[string]string{}}
			for _, node := range plan.Nodes {
				target.Nodes[node.Name] = "real-" + node.Name
			}
			target.Down = func(ctx context.Context) error {
				f.down()
				return ctx.Err()
			}
			return target, nil
		},
	}
}

func TestUpAndDown(t *testing.T) {
	var downs atomic.Int64
	cluster := fake{down: func() { downs.Add(1) }}
	cfg := envconf.New()
	ctx, err := suite.Up(cluster.provider(), 2)(t.Context(), cfg)
	require.NoError(t, err)
	assert.Equal(t, "the-kubeconfig", cfg.KubeconfigFile())
	target, err := suite.Target(ctx)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"node-0": "real-node-0", "node-1": "real-node-1"},
		target.Nodes)
	backend, err := suite.Backend(ctx)
	require.NoError(t, err)
	assert.Equal(t, "fake", backend.Name())
	assert.Nil(t, suite.Report(ctx), "before any scenario")

	_, err = suite.Up(cluster.provider(), 2)(ctx, cfg)
	require.ErrorContains(t, err, "call suite.Down before")

	after, err := suite.Down()(ctx, cfg)
	require.NoError(t, err)
	assert.EqualValues(t, 1, downs.Load())
	require.Error(t, ctx.Err(), "what still uses the cluster ends")
	require.NoError(t, after.Err(), "what finishes the environment goes on")
	_, err = suite.Target(after)
	require.ErrorIs(t, err, suite.ErrNoCluster)
	_, err = suite.Down()(after, cfg)
	require.NoError(t, err, "there is nothing to do")
	assert.EqualValues(t, 1, downs.Load())
}

// TestUse has a backend bring its own cluster: here the simulator, which needs none.
func TestUse(t *testing.T) {
	testenv := env.NewWithConfig(envconf.New().WithKubeconfigFile("my-kubeconfig"))
	testenv.BeforeEachTest(suite.PerTest(suite.Use(sim.New())))
	testenv.AfterEachTest(suite.PerTest(suite.Down()))
	runs := t.TempDir()
	own := filepath.Join("example", "testdata", "rollover.yaml")
	var seen *reports.Report
	feature := suite.Scenario(own, suite.Options{Runs: runs}).Assess("has a report",
		func(ctx context.Context, t *testing.T, cfg *envconf.Config) context.Context {
			t.Helper()
			seen = suite.Report(ctx)
			assert.Equal(t, "my-kubeconfig", cfg.KubeconfigFile())
			_, err := suite.Target(ctx)
			require.ErrorIs(t, err, suite.ErrNoCluster)
			return ctx
		})
	testenv.Test(t, feature.Feature())
	require.NotNil(t, seen)
	assert.Equal(t, reports.Pass, seen.Verdict)
	for _, name := range reports.Files() {
		_, err := os.Stat(filepath.Join(runs, "rollover-1", name))
		require.NoError(t, err)
	}
	text, err := os.ReadFile(filepath.Join(runs, "rollover-1", reports.JUnitFile))
	require.NoError(t, err)
	assert.Contains(t, string(text), `failures="0"`)
}

// surpriseVariable has TestSurprise be the test that is to fail.
const surpriseVariable = "CERTQUAKE_SUITE_SURPRISE"

// TestSurprise has a scenario end otherwise than it expects: the feature fails and says why.
func TestSurprise(t *testing.T) {
	if os.Getenv(surpriseVariable) != "" {
		testenv := env.New().BeforeEachTest(suite.PerTest(suite.Use(sim.New()))).
			AfterEachTest(suite.PerTest(suite.Down()))
		unsafe := suite.Options{Set: map[string]string{"hold": "5s"}, Runs: t.TempDir()}
		testenv.Test(t, suite.Scenario("quick-ca-swap-bundle", unsafe).Feature())
		return
	}
	program := exec.Command(os.Args[0], "-test.run", "^TestSurprise$", "-test.v")
	program.Env = append(os.Environ(), surpriseVariable+"=1")
	out, err := program.Output()
	var failed *exec.ExitError
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, 1, failed.ExitCode())
	for _, want := range []string{
		"quick-ca-swap-bundle: the verdict is fail, expected pass",
		"fail: trust-gap: ",
		"reproduce: certquake run quick-ca-swap-bundle ",
		filepath.Join("quick-ca-swap-bundle-1", reports.HTMLFile),
	} {
		assert.Contains(t, string(out), want)
	}
	assert.NotContains(t, string(out), "pass: ", "what passed is no news")
}

func TestUpFails(t *testing.T) {
	broken := errors.New("no kernel")
	cluster := fake{up: func(context.Context, scenarios.Plan) error { return broken }}
	cfg := envconf.New()
	ctx, err := suite.Up(cluster.provider(), 1)(t.Context(), cfg)
	require.ErrorIs(t, err, broken)
	require.NoError(t, ctx.Err())
	assert.Empty(t, cfg.KubeconfigFile())
	_, err = suite.Backend(ctx)
	require.ErrorIs(t, err, suite.ErrNoCluster)
	_, err = suite.Down()(ctx, cfg)
	require.NoError(t, err)
}

// TestInterruptedUp has Ctrl-C come while the cluster is on its way: whoever brings it up is told.
func TestInterruptedUp(t *testing.T) {
	cluster := fake{up: func(ctx context.Context, _ scenarios.Plan) error {
		if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
			return err
		}
		<-ctx.Done()
		return context.Cause(ctx)
	}}
	_, err := suite.Up(cluster.provider(), 1)(t.Context(), envconf.New())
	require.EqualError(t, err, "bring a cluster up for the tests: interrupted")
}

// TestInterruptedTwice has Ctrl-C come twice, because a test does not mind its context: the program
// ends, and the cluster does before it.
func TestInterruptedTwice(t *testing.T) {
	program := exec.Command(os.Args[0])
	program.Env = append(os.Environ(), interruptedVariable+"=1")
	program.Stderr = os.Stderr
	out, err := program.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, program.Start())
	said := make(chan string)
	go func() {
		defer close(said)
		text := make([]byte, 100)
		for {
			n, err := out.Read(text)
			if err != nil {
				return
			}
			said <- string(text[:n])
		}
	}()
	assert.Equal(t, "up\n", <-said)
	require.NoError(t, program.Process.Signal(os.Interrupt))
	assert.Equal(t, "interrupted\n", <-said)
	require.NoError(t, program.Process.Signal(os.Interrupt))
	assert.Equal(t, "down\n", <-said)
	assert.Empty(t, <-said)
	var ended *exec.ExitError
	require.ErrorAs(t, program.Wait(), &ended)
	assert.Equal(t, 130, ended.ExitCode())
}

func TestScenario(t *testing.T) {
	own := filepath.Join("example", "testdata", "rollover.yaml")
	for _, row := range []struct {
		source string
		want   string
	}{{"quick-leaf-rotation", "quick-leaf-rotation"}, {own, "rollover"}} {
		feature := suite.Scenario(row.source, suite.Options{}).Feature()
		assert.Equal(t, row.want, feature.Name())
		assert.True(t, feature.Labels().Contains(suite.Label, row.want))
		assert.Len(t, feature.Steps(), 1)
	}
}

func TestPlan(t *testing.T) {
	own := filepath.Join("example", "testdata", "rollover.yaml")
	for _, row := range []struct {
		name    string
		source  string
		options suite.Options
		seed    uint64
		horizon time.Duration
		problem string
	}{
		{
			name: "as written", source: "quick-leaf-rotation",
			seed: 1, horizon: 8 * time.Minute,
		},
		{
			name: "other options", source: "ca-swap-bundle",
			options: suite.Options{Seed: 7, Speed: 30, Set: map[string]string{"hold": "65s"}},
			seed:    7, horizon: 90 * time.Second,
		},
		{name: "a file", source: own, seed: 1, horizon: 30 * time.Second},
		{name: "no such name", source: "quick-leaf-rotatoin", problem: "quick-leaf-rotation"},
		{name: "no such file", source: "none.yaml", problem: "read the scenario: open none.yaml"},
		{
			name: "too fast", source: "quick-leaf-rotation",
			options: suite.Options{Speed: 100}, problem: "quick-leaf-rotation: cannot be performed",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			plan, err := suite.PlanOf(row.options, row.source)
			if row.problem != "" {
				require.ErrorContains(t, err, row.problem)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, row.seed, plan.Seed)
			assert.Equal(t, row.horizon, plan.Horizon)
			assert.Equal(t, strings.TrimSuffix(filepath.Base(row.source), ".yaml"), plan.Scenario)
		})
	}
}
