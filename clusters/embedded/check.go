package embedded

import (
	"errors"
	"fmt"
	"time"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// Limits of the control plane.
const (
	nodesMax    = 200
	nodeNameMax = 42
)

// defaultCacheTTL is how old a kubelet lets a cached object become unless its Node says else.
const defaultCacheTTL = time.Minute

// Check returns what the embedded cluster cannot do of a plan's nodes and of those of its actions
// that Verbs names, joined. The errors wrap harness.ErrUnsupported.
func Check(plan scenarios.Plan) error {
	problems := []error{unsupported(checkNodes(plan.Nodes))}
	for _, action := range plan.Actions {
		if err := checkAction(action); err != nil {
			problems = append(problems, unsupported(fmt.Errorf("%s: %w", action.ID, err)))
		}
	}
	return errors.Join(problems...)
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
			fmt.Errorf("%d nodes: the embedded cluster has 1 to %d", len(nodes), nodesMax))
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

// checkAction says why an action of one of Verbs cannot be done. What is done to single issuers, or
// to requests, is a matter of the API and not of this package.
func checkAction(action scenarios.Action) error {
	if action.Verb == scenarios.ConfigureKubelet && action.Kubelet != nil {
		return checkKubelet(*action.Kubelet)
	}
	return nil
}
