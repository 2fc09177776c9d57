//go:build e2e

package example_test

import (
	"context"

	"sigs.k8s.io/e2e-framework/pkg/envconf"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/kind"
	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/scenarios"
)

func config() *envconf.Config { return envconf.New() }

// provider brings clusters up in containers. Plans are checked as those for a cluster that stays:
// whether the machine has room for another is no question.
func provider() kube.Provider {
	options := kind.Options{Bin: "../../../bin"}
	lent := options
	lent.Cluster = "lent"
	return kube.Provider{
		Name: "kind", Image: kind.Image, Verbs: kind.Verbs(), Check: lent.Check,
		Up: func(ctx context.Context, plan scenarios.Plan) (*clusters.Target, error) {
			return options.Up(ctx, plan.Nodes)
		},
	}
}
