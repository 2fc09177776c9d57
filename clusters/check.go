package clusters

import (
	"errors"
	"fmt"
	"time"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// Unsupported marks an error as of something that a cluster cannot do. Of nil it makes nil.
func Unsupported(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", harness.ErrUnsupported, err)
}

// CheckNodes says, joined, what is wrong with nodes for a kind of cluster that has at most so many
// of them; what names it, as "a kind cluster".
func CheckNodes(nodes []scenarios.PlannedNode, most int, what string) error {
	var problems []error
	if len(nodes) == 0 || len(nodes) > most {
		problems = append(problems,
			fmt.Errorf("%d nodes: %s has 1 to %d", len(nodes), what, most))
	}
	for _, node := range nodes {
		if err := CheckKubelet(node); err != nil {
			problems = append(problems, fmt.Errorf("node %s: %w", node.Name, err))
		}
	}
	return errors.Join(problems...)
}

// CheckKubelet says which settings a kubelet cannot have. How old a cached object may become is an
// annotation of the Node, in whole seconds.
func CheckKubelet(node scenarios.PlannedNode) error {
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
