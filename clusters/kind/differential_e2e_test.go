//go:build e2e

package kind_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/e2e-framework/pkg/env"
	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/e2e-framework/pkg/features"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/kind"
	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/clusters/suite"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/harnesstest"
	"github.com/certquake/certquake/harness/sim"
	"github.com/certquake/certquake/scenarios"
)

const (
	// root is the repository's.
	root = "../.."
	// built is where `make workload` puts the program of the pods.
	built = root + "/bin"
	// around is about how long a case takes beside its horizon.
	around = 25 * time.Second
)

var (
	update   = flag.Bool("update", false, "keep the results, and write the README's table")
	parallel = flag.Int("clusters", 2, "how many clusters share the cases")
)

// provider returns clusters of kind as main wires them. Plans are checked as those for a cluster
// that stays: whether the machine has room for another is no question.
func provider() kube.Provider {
	options, lent := kind.Options{Bin: built}, kind.Options{Bin: built, Cluster: "lent"}
	return kube.Provider{
		Name: "kind", Image: kind.Image, Verbs: kind.Verbs(), Check: lent.Check,
		Up: func(ctx context.Context, plan scenarios.Plan) (*clusters.Target, error) {
			return options.Up(ctx, plan.Nodes)
		},
	}
}

// TestDifferential holds the simulator against kind. A cluster takes longer to come up than most
// cases to be performed, so a few clusters each perform a share of them, one after the other.
func TestDifferential(t *testing.T) {
	tried := results{truth: harnesstest.OpenTruth(t, root)}
	begun := time.Now()
	t.Run("on", func(t *testing.T) {
		for i, share := range divide(chosen(), *parallel, func(c harnesstest.Case) scenarios.Plan {
			return c.Plan(t, 1)
		}) {
			t.Run(fmt.Sprintf("cluster-%d", i), func(t *testing.T) {
				t.Parallel()
				share.test(t, &tried)
			})
		}
	})
	t.Logf("%d cases in %s:\n%s", tried.n, time.Since(begun).Round(time.Second),
		tried.truth.Table(t))
}

// chosen returns the cases that -feature names: all of them without it.
func chosen() []harnesstest.Case {
	return slices.DeleteFunc(harnesstest.Cases(), func(c harnesstest.Case) bool {
		pattern := settings.FeatureRegex()
		return pattern != nil && !pattern.MatchString(c.Scenario)
	})
}

// results are the comparisons of all clusters.
type results struct {
	mu    sync.Mutex
	n     int
	truth harnesstest.Truth
}

// add takes a comparison, and with -update keeps it at once: an interrupted run loses nothing.
func (r *results) add(t *testing.T, one harnesstest.Comparison) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	r.truth.Keep("kind", one)
	if *update {
		r.truth.Write(t, root)
	}
}

// share is the cases of one cluster.
type share struct {
	cases []harnesstest.Case
	nodes int
}

// divide gives each cluster about as much to do, and those who need many nodes the same cluster.
func divide(
	cases []harnesstest.Case, clusters int, plan func(harnesstest.Case) scenarios.Plan,
) []share {
	slices.SortStableFunc(cases, func(a, b harnesstest.Case) int {
		return len(plan(b).Nodes) - len(plan(a).Nodes)
	})
	var total, begun time.Duration
	for _, c := range cases {
		total += plan(c).Horizon + around
	}
	shares := make([]share, clusters)
	for _, c := range cases {
		one := &shares[begun*time.Duration(clusters)/total]
		one.cases = append(one.cases, c)
		one.nodes = max(one.nodes, len(plan(c).Nodes))
		begun += plan(c).Horizon + around
	}
	return slices.DeleteFunc(shares, func(one share) bool { return len(one.cases) == 0 })
}

// test performs the share on a cluster of its own, a feature a case.
func (s share) test(t *testing.T, tried *results) {
	t.Helper()
	ctx := harness.WithTalk(t.Context(), func(line string) { t.Log(line) })
	own := *settings
	testenv, err := env.NewWithContext(ctx, &own)
	require.NoError(t, err)
	testenv.BeforeEachTest(suite.PerTest(suite.Up(provider(), s.nodes)))
	testenv.AfterEachTest(suite.PerTest(suite.Down()))
	model := sim.New() // it keeps the keys that it has made
	var all []features.Feature
	for _, c := range s.cases {
		all = append(all, features.New(c.Scenario).Assess("is as on the simulator",
			func(ctx context.Context, t *testing.T, _ *envconf.Config) context.Context {
				t.Helper()
				require.NoError(t, context.Cause(ctx))
				backend, err := suite.Backend(ctx)
				require.NoError(t, err)
				one, performed := harnesstest.Compare(ctx, t, c, model, backend)
				if performed {
					tried.add(t, one)
				}
				return ctx
			}).Feature())
	}
	testenv.Test(t, all...)
}
