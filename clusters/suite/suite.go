// Package suite rotates certificates inside Go tests that are written with e2e-framework.
//
// Set an environment up with Up, which brings a cluster up and points the environment's own client
// at it, or with Use if there is one already, and finish it with Down. Between the two, Scenario
// makes a feature of a scenario: it performs it on that cluster, writes the report and fails unless
// the verdict is the expected one.
//
//	func TestMain(m *testing.M) {
//		testenv = env.New()
//		testenv.Setup(suite.Up(provider, 2))
//		testenv.Finish(suite.Down())
//		os.Exit(testenv.Run(m))
//	}
//
//	func TestRotation(t *testing.T) {
//		testenv.Test(t, suite.Scenario("ca-swap-bundle", suite.Options{Speed: 30}).Feature())
//	}
//
// The context that features get ends with Ctrl-C, so that they end and Down is reached. A second
// Ctrl-C takes the cluster down at once and ends the program. Time is wall time: give go test a
// -timeout that all scenarios fit into.
package suite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/e2e-framework/pkg/env"
	"sigs.k8s.io/e2e-framework/pkg/envconf"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// ErrNoCluster is wrapped by the errors of what needs a cluster and was called without one.
var ErrNoCluster = errors.New("no cluster is up: add suite.Up to the environment's Setup")

// errTwo is of a second cluster in one environment.
var errTwo = errors.New("the environment has a cluster already: call suite.Down before")

// downLimit bounds how long a cluster is taken down.
const downLimit = time.Minute

// Performer is a harness.Backend with a name, as all of certquake's are.
type Performer interface {
	harness.Backend
	Name() string
	Basis() record.Basis
}

// cluster is what Up and Use leave in a context.
type cluster struct {
	backend Performer
	target  *clusters.Target // nil for one that was there already
	guard   *guard
	using   sync.Mutex // one scenario at a time
	down    func() error
}

type clusterKey struct{}

// in returns the cluster of a context.
func in(ctx context.Context) (*cluster, error) {
	if c, ok := ctx.Value(clusterKey{}).(*cluster); ok && c != nil {
		return c, nil
	}
	return nil, ErrNoCluster
}

// Up returns a function for Setup that brings a cluster with that many nodes up, as many as the
// largest of the scenarios to come has. The environment's client is a client of that cluster from
// then on. What it does it tells by harness.Say. After an error nothing is left of the cluster.
func Up(provider kube.Provider, nodes int) env.Func {
	return func(ctx context.Context, cfg *envconf.Config) (context.Context, error) {
		if _, err := in(ctx); err == nil {
			return ctx, errTwo
		}
		inner, guard := watchSignals(ctx)
		target, err := provider.Up(inner, room(nodes))
		if err != nil {
			guard.end()
			return ctx, fmt.Errorf("bring a cluster up for the tests: %w", err)
		}
		c := &cluster{backend: kube.New(provider.On(target)), target: target, guard: guard}
		c.down = sync.OnceValue(func() error {
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), downLimit)
			defer cancel()
			return target.Down(limited)
		})
		guard.protect(c.down)
		cfg.WithKubeconfigFile(target.Kubeconfig).WithClient(nil) // it makes one of the file
		return context.WithValue(inner, clusterKey{}, c), nil
	}
}

// Use returns a function for Setup which has scenarios performed by a backend that finds its
// cluster itself, such as one of your own. The environment's client stays what it is.
func Use(backend Performer) env.Func {
	return func(ctx context.Context, _ *envconf.Config) (context.Context, error) {
		if _, err := in(ctx); err == nil {
			return ctx, errTwo
		}
		inner, guard := watchSignals(ctx)
		c := &cluster{backend: backend, guard: guard, down: func() error { return nil }}
		return context.WithValue(inner, clusterKey{}, c), nil
	}
}

// room is a plan of nothing but nodes. Their kubelets get other settings with each scenario.
func room(nodes int) scenarios.Plan {
	plan := scenarios.Plan{Scenario: "suite"}
	for i := range nodes {
		plan.Nodes = append(plan.Nodes, scenarios.PlannedNode{
			Name:            fmt.Sprintf("node-%d", i),
			SyncFrequency:   time.Minute,
			ChangeDetection: scenarios.Watch,
		})
	}
	return plan
}

// Down returns a function for Finish that takes the cluster of Up down. Without a cluster, because
// Up has failed, there is nothing to do.
func Down() env.Func {
	return func(ctx context.Context, _ *envconf.Config) (context.Context, error) {
		c, err := in(ctx)
		if err != nil {
			return ctx, nil //nolint:nilerr // Up has told why
		}
		err = c.down()
		c.guard.end()
		ctx = context.WithValue(context.WithoutCancel(ctx), clusterKey{}, nil)
		if err != nil {
			return ctx, fmt.Errorf("take the cluster of the tests down: %w", err)
		}
		return ctx, nil
	}
}

// PerTest makes of a function for Setup or Finish one for BeforeEachTest or AfterEachTest, where
// each test has a cluster of its own.
func PerTest(do env.Func) env.TestFunc {
	//nolint:thelper // its parameters are e2e-framework's
	return func(ctx context.Context, cfg *envconf.Config, _ *testing.T) (context.Context, error) {
		return do(ctx, cfg)
	}
}

// Target returns the cluster that Up brought up, for what the environment's client cannot do.
func Target(ctx context.Context) (*clusters.Target, error) {
	c, err := in(ctx)
	if err != nil {
		return nil, err
	}
	if c.target == nil {
		return nil, fmt.Errorf("%w: suite.Use has found one", ErrNoCluster)
	}
	return c.target, nil
}

// Backend returns the backend that performs plans on the cluster of a context, one at a time.
func Backend(ctx context.Context) (Performer, error) {
	c, err := in(ctx)
	if err != nil {
		return nil, err
	}
	return c.backend, nil
}
