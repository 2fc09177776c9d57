//go:build linux && embedded

package existing_test

import (
	"testing"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/embedded"
	"github.com/certquake/certquake/scenarios"
)

// kubeletsAre is what is said of kubelets to an account that may ask them: these do not answer.
const kubeletsAre = "what the cluster's nodes have is not known"

// raise brings up a cluster without containers.
func raise(t *testing.T, nodes []scenarios.PlannedNode) (*clusters.Target, error) {
	t.Helper()
	return embedded.Up(t.Context(), nodes, embedded.Options{Bin: built})
}
