package kube

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// On returns a provider like this one that lends target, a running cluster of this provider's,
// instead of bringing clusters up. A run begins once the kubelets have the plan's settings, removes
// its objects in the end and leaves the cluster to whoever brought it up.
//
// A plan's nodes may be called as they like: one that the cluster does not know by its name is
// played by one that the plan does not name. One run at a time may use the cluster.
func (p Provider) On(target *clusters.Target) Provider {
	lent := p
	lent.Check = func(plan scenarios.Plan) error {
		var problems []error
		if p.Check != nil {
			problems = append(problems, p.Check(plan))
		}
		return errors.Join(append(problems, enough(plan, target))...)
	}
	lent.Up = func(ctx context.Context, plan scenarios.Plan) (*clusters.Target, error) {
		select {
		case <-target.Broken:
			return nil, fmt.Errorf("%w: the cluster ended before the run: %w",
				clusters.ErrBroken, target.Cause())
		default:
		}
		lease := lend(plan, target)
		return lease, configure(ctx, plan, lease)
	}
	return lent
}

// enough says whether a cluster has nodes for all of a plan's.
func enough(plan scenarios.Plan, target *clusters.Target) error {
	if target.Spread || len(plan.Nodes) <= len(target.Nodes) {
		return nil
	}
	return fmt.Errorf("%w: %s needs %d nodes, and the cluster was brought up with %d",
		harness.ErrUnsupported, plan.Scenario, len(plan.Nodes), len(target.Nodes))
}

// lend returns the cluster as a run of the plan sees it.
func lend(plan scenarios.Plan, target *clusters.Target) *clusters.Target {
	lease := *target
	lease.Shared = true
	lease.Down = func(context.Context) error { return nil }
	if target.Spread {
		return &lease
	}
	players := cast(plan, target)
	lease.Nodes = make(map[string]string, len(players))
	for planned, player := range players {
		lease.Nodes[planned] = target.Nodes[player]
	}
	lease.Performs = make(map[scenarios.Verb]clusters.Perform, len(target.Performs))
	for verb, do := range target.Performs {
		lease.Performs[verb] = func(ctx context.Context, a scenarios.Action) (string, error) {
			return do(ctx, recast(a, players))
		}
	}
	return &lease
}

// cast returns the node that the cluster was brought up with which plays each node of the plan:
// itself where it is among them, else the first that is left.
func cast(plan scenarios.Plan, target *clusters.Target) map[string]string {
	players := make(map[string]string, len(plan.Nodes))
	spare := maps.Clone(target.Nodes)
	for _, node := range plan.Nodes {
		if _, found := target.Nodes[node.Name]; found {
			players[node.Name] = node.Name
			delete(spare, node.Name)
		}
	}
	left := slices.Sorted(maps.Keys(spare))
	for _, node := range plan.Nodes {
		if players[node.Name] == "" && len(left) > 0 {
			players[node.Name], left = left[0], left[1:]
		}
	}
	return players
}

// recast returns the action as it is to be done to the nodes that play the plan's.
func recast(action scenarios.Action, players map[string]string) scenarios.Action {
	if action.Node != "" {
		action.Node = players[action.Node]
	}
	if action.Kubelet != nil {
		kubelet := *action.Kubelet
		kubelet.Name = players[kubelet.Name]
		action.Kubelet = &kubelet
	}
	return action
}

// configure gives every kubelet its settings of the plan, all at once. Those of a cluster that
// cannot be told are taken as they are.
func configure(ctx context.Context, plan scenarios.Plan, lease *clusters.Target) error {
	do := lease.Performs[scenarios.ConfigureKubelet]
	if lease.Spread || do == nil {
		return nil
	}
	problems := make(chan error, len(plan.Nodes))
	for _, node := range plan.Nodes {
		go func() {
			_, err := do(ctx, scenarios.Action{
				ID: "settings/" + node.Name, Verb: scenarios.ConfigureKubelet,
				Node: node.Name, Kubelet: &node,
			})
			if err != nil {
				err = fmt.Errorf("give the kubelet of %s its settings: %w", node.Name, err)
			}
			problems <- err
		}()
	}
	var all []error
	for range plan.Nodes {
		all = append(all, <-problems)
	}
	err := errors.Join(all...)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w: %w", clusters.ErrBroken, err)
}
