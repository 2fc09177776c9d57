package kind

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// nodesMax is more nodes than any machine has room for: each is a container with an operating
// system in it.
const nodesMax = 50

// checkMax bounds the questions to the engine.
const checkMax = 20 * time.Second

// Check returns what this machine's engine cannot do of a plan, joined. The errors wrap
// harness.ErrUnsupported, or harness.ErrSettings where another setting helps.
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
	ctx, cancel := context.WithTimeout(context.Background(), checkMax)
	defer cancel()
	at, err := o.look(ctx)
	if errors.Is(err, harness.ErrSettings) {
		return errors.Join(append(problems, err)...)
	}
	if err != nil {
		return errors.Join(append(problems, clusters.Unsupported(err))...)
	}
	if o.Cluster == "" { // else there may be one already
		room := roomOf(at.machine, readHost(len(plan.Nodes)))
		problems = append(problems, clusters.Unsupported(checkMemory(len(plan.Nodes), room.memory)),
			clusters.Unsupported(checkWatchers(len(plan.Nodes), room.watchers)))
	}
	return errors.Join(append(problems,
		clusters.Unsupported(o.checkDelay(ctx, at, plan)))...)
}

// look finds the place of the cluster without taking it.
func (o Options) look(ctx context.Context) (site, error) {
	if o.Cluster == "" {
		return o.site(ctx, "", nil)
	}
	if err := checkName(o.Cluster); err != nil {
		return site{}, err
	}
	home, err := homeDir()
	if err != nil {
		return site{}, err
	}
	return o.site(ctx, o.Cluster, remembered(home, o.Cluster))
}

func checkNodes(nodes []scenarios.PlannedNode) error {
	return clusters.CheckNodes(nodes, nodesMax, "a kind cluster")
}

// checkDelay finds out whether the engine's kernel can delay packets, if the plan wants that, in a
// container without a network. Without an image of nodes, this machine's kernel is asked if it is
// the engine's; what it does not tell turns out when the packets are to be delayed.
func (o Options) checkDelay(ctx context.Context, at site, plan scenarios.Plan) error {
	delayed := slices.ContainsFunc(plan.Actions, func(a scenarios.Action) bool {
		return a.Verb == scenarios.DisturbNetwork && a.Network != nil && a.Network.Delay > 0
	})
	if !delayed {
		return nil
	}
	image, here, err := o.pick(ctx, at.engine)
	if err != nil {
		return err
	}
	if !here {
		if o.leaf == nil && at.machine.lacksNetem("/") {
			return errNoNetem
		}
		return nil
	}
	queue := netem
	if o.leaf != nil {
		queue = o.leaf
	}
	_, err = at.engine.do(ctx, "run", "--rm", "--privileged", "--network", "none", "--entrypoint",
		"sh", image, "-c", tryNetem, "sh", queue(time.Millisecond))
	if err != nil {
		return fmt.Errorf("%w: %w", errNoNetem, err)
	}
	return nil
}
