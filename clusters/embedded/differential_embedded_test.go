//go:build linux && embedded

package embedded_test

import (
	"context"
	"flag"
	"sync"
	"testing"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/embedded"
	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/harness/harnesstest"
	"github.com/certquake/certquake/harness/sim"
	"github.com/certquake/certquake/scenarios"
)

const (
	// root is the repository's.
	root = "../.."
	// built is where `make embedded` puts the programs.
	built = root + "/bin"
)

var update = flag.Bool("update", false, "keep the results, and write the README's table")

// backend returns the embedded backend as main wires it.
func backend() *kube.Backend {
	return kube.New(kube.Provider{
		Name: "embedded", Image: embedded.Image, Verbs: embedded.Verbs(), Check: embedded.Check,
		Up: func(ctx context.Context, plan scenarios.Plan) (*clusters.Target, error) {
			return embedded.Up(ctx, plan.Nodes, embedded.Options{Bin: built})
		},
	})
}

// TestDifferential holds the simulator against real Kubernetes.
func TestDifferential(t *testing.T) {
	var mu sync.Mutex
	truth := harnesstest.OpenTruth(t, root)
	t.Run("cases", func(t *testing.T) {
		for _, c := range harnesstest.Cases() {
			t.Run(c.Scenario, func(t *testing.T) {
				t.Parallel()
				one, performed := harnesstest.Compare(
					t.Context(), t, c, sim.New(), backend())
				if !performed {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				truth.Keep("embedded", one)
				if *update { // at once, so that an interrupted run loses nothing
					truth.Write(t, root)
				}
			})
		}
	})
	t.Logf("\n%s", truth.Table(t))
}
