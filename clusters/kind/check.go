package kind

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/certquake/certquake/harness"
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
	problems := []error{unsupported(checkNodes(plan.Nodes))}
	for _, action := range plan.Actions {
		if action.Verb == scenarios.ConfigureKubelet && action.Kubelet != nil {
			if err := checkKubelet(*action.Kubelet); err != nil {
				problems = append(problems, unsupported(fmt.Errorf("%s: %w", action.ID, err)))
			}
		}
	}
	if o.Cluster != "" {
		problems = append(problems, unsupported(checkName(o.Cluster)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkMax)
	defer cancel()
	engine, err := findEngine(ctx, o.Engine)
	if err != nil {
		return errors.Join(append(problems, unsupported(err))...)
	}
	machine, err := engine.info(ctx)
	if err != nil {
		return errors.Join(append(problems, unsupported(err))...)
	}
	if o.Cluster == "" { // else there may be one already
		room := roomOf(machine, readHost(len(plan.Nodes)))
		problems = append(problems, unsupported(checkMemory(len(plan.Nodes), room.memory)),
			unsupported(checkWatchers(len(plan.Nodes), room.watchers)))
	}
	return errors.Join(append(problems, unsupported(o.checkDelay(ctx, engine, plan)))...)
}

func unsupported(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", harness.ErrUnsupported, err)
}

func checkNodes(nodes []scenarios.PlannedNode) error {
	var problems []error
	if len(nodes) == 0 || len(nodes) > nodesMax {
		problems = append(problems,
			fmt.Errorf("%d nodes: a kind cluster has 1 to %d workers", len(nodes), nodesMax))
	}
	for _, node := range nodes {
		if err := checkKubelet(node); err != nil {
			problems = append(problems, fmt.Errorf("node %s: %w", node.Name, err))
		}
	}
	return errors.Join(problems...)
}

// checkKubelet says which settings a kubelet cannot have. How old a cached object may become is an
// annotation of the Node, in whole seconds.
func checkKubelet(node scenarios.PlannedNode) error {
	switch {
	case node.SyncFrequency <= 0:
		return fmt.Errorf("syncFrequency %s is not positive", node.SyncFrequency)
	case node.ChangeDetection == scenarios.Cache && node.CacheTTL%time.Second != 0:
		return fmt.Errorf("cacheTTL %s: kubelets know whole seconds only", node.CacheTTL)
	}
	switch node.ChangeDetection {
	case scenarios.Watch, scenarios.Cache, scenarios.Get:
		return nil
	}
	return fmt.Errorf("changeDetection %q is none of %s, %s, %s", node.ChangeDetection,
		scenarios.Watch, scenarios.Cache, scenarios.Get)
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
