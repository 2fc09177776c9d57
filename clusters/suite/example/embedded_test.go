//go:build linux && embedded && !e2e

package example_test

import (
	"context"

	"sigs.k8s.io/e2e-framework/pkg/envconf"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/embedded"
	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/scenarios"
)

func config() *envconf.Config { return envconf.New() }

// provider brings clusters up without containers.
func provider() kube.Provider {
	return kube.Provider{
		Name: "embedded", Image: embedded.Image, Verbs: embedded.Verbs(), Check: embedded.Check,
		Up: func(ctx context.Context, plan scenarios.Plan) (*clusters.Target, error) {
			return embedded.Up(ctx, plan.Nodes, embedded.Options{Bin: "../../../bin"})
		},
	}
}
