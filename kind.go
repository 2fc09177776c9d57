package main

import (
	"context"
	"fmt"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/kind"
	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/cli"
	"github.com/certquake/certquake/scenarios"
)

// containers performs plans on kind clusters, keeps such clusters and removes them. Its settings
// are those of the options.
type containers struct {
	*kube.Backend
	*kind.Options
}

// inContainers returns a backend whose clusters' nodes are containers.
func inContainers() containers {
	options := &kind.Options{Bin: programsFolder()}
	return containers{Options: options, Backend: kube.New(kube.Provider{
		Name: "kind", Image: kind.Image, Verbs: kind.Verbs(),
		Check: func(plan scenarios.Plan) error { return options.Check(plan) },
		Up: func(ctx context.Context, plan scenarios.Plan) (*clusters.Target, error) {
			return options.Up(ctx, plan.Nodes)
		},
	})}
}

// Check implements harness.Backend, of which the options are a part.
func (c containers) Check(plan scenarios.Plan) error { return c.Backend.Check(plan) }

// Keep implements cli.ClusterKeeper.
func (c containers) Keep(ctx context.Context, spec cli.ClusterSpec) (cli.Kept, error) {
	options := *c.Options
	if options.Cluster != "" || options.Keep {
		return cli.Kept{}, fmt.Errorf("%w: --cluster and --keep are of runs: use --name",
			harness.ErrSettings)
	}
	options.Dir, options.Images = spec.Dir, spec.Images
	target, err := options.Up(ctx, spec.Nodes)
	if err != nil {
		return cli.Kept{}, err
	}
	return cli.Kept{
		Kubeconfig: target.Kubeconfig,
		Broken:     target.Broken, Cause: target.Cause, Down: target.Down,
	}, nil
}
