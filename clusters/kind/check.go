package kind

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/scenarios"
)

// nodesMax is more nodes than any machine has room for: each is a container with an operating
// system in it.
const nodesMax = 50

// checkMax bounds the questions to the engine.
const checkMax = 20 * time.Second

// Check returns what this machine's engine cannot do of a plan, joined. The errors wrap
// harness.ErrUnsupported.
func (o Options) Check(plan scenarios.Plan) error {
	problems := []error{clusters.Unsupported(checkNodes(plan.Nodes))}
	for _, action := range plan.Actions {
		if action.Verb == scenarios.ConfigureKubelet && action.Kubelet != nil {
			if err := clusters.CheckKubelet(*action.Kubelet); err != nil {
				problems = append(problems,
					clusters.Unsupported(fmt.Errorf("%s: %w", action.ID, err)))
			}
		}
	}
	if o.Cluster != "" {
		problems = append(problems, clusters.Unsupported(checkName(o.Cluster)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkMax)
	defer cancel()
	engine, err := findEngine(ctx, o.Engine)
	if err != nil {
		return errors.Join(append(problems, clusters.Unsupported(err))...)
	}
	machine, err := engine.info(ctx)
	if err != nil {
		return errors.Join(append(problems, clusters.Unsupported(err))...)
	}
	if o.Cluster == "" { // else there may be one already
		room := roomOf(machine, readHost(len(plan.Nodes)))
		problems = append(problems, clusters.Unsupported(checkMemory(len(plan.Nodes), room.memory)),
			clusters.Unsupported(checkWatchers(len(plan.Nodes), room.watchers)))
	}
	return errors.Join(append(problems, clusters.Unsupported(o.checkDelay(ctx, engine, plan)))...)
}

func checkNodes(nodes []scenarios.PlannedNode) error {
	return clusters.CheckNodes(nodes, nodesMax, "a kind cluster")
}

// checkDelay finds out whether the engine's kernel can delay packets, if the plan wants that, in a
// container without a network. Without an image of nodes that is left to the cluster.
func (o Options) checkDelay(ctx context.Context, e engine, plan scenarios.Plan) error {
	delayed := slices.ContainsFunc(plan.Actions, func(a scenarios.Action) bool {
		return a.Verb == scenarios.DisturbNetwork && a.Network != nil && a.Network.Delay > 0
	})
	if !delayed {
		return nil
	}
	image, here, err := o.pick(ctx, e)
	if err != nil || !here {
		return err
	}
	queue := netem
	if o.leaf != nil {
		queue = o.leaf
	}
	_, err = e.do(ctx, "run", "--rm", "--privileged", "--network", "none", "--entrypoint", "sh",
		image, "-c", tryNetem, "sh", queue(time.Millisecond))
	if err != nil {
		return fmt.Errorf("%w: %w", errNoNetem, err)
	}
	return nil
}
