package embedded

import (
	"errors"
	"fmt"
	"time"

	"github.com/certquake/certquake/clusters"
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
	problems := []error{clusters.Unsupported(checkNodes(plan.Nodes))}
	for _, action := range plan.Actions {
		if err := checkAction(action); err != nil {
			problems = append(problems, clusters.Unsupported(fmt.Errorf("%s: %w", action.ID, err)))
		}
	}
	return errors.Join(problems...)
}

func checkNodes(nodes []scenarios.PlannedNode) error {
	return clusters.CheckNodes(nodes, nodesMax, "the embedded cluster")
}

// checkAction says why an action of one of Verbs cannot be done. What is done to single issuers, or
// to requests, is a matter of the API and not of this package.
func checkAction(action scenarios.Action) error {
	if action.Verb == scenarios.ConfigureKubelet && action.Kubelet != nil {
		return clusters.CheckKubelet(*action.Kubelet)
	}
	return nil
}
