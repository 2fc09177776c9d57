//go:build linux && e2e && !embedded

package existing_test

import (
	"testing"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/kind"
	"github.com/certquake/certquake/scenarios"
)

// kubeletsAre is what is said of kubelets to an account that may ask them.
const kubeletsAre = "the kubelet of "

// raise brings up a cluster of containers.
func raise(t *testing.T, nodes []scenarios.PlannedNode) (*clusters.Target, error) {
	t.Helper()
	return kind.Options{Bin: built}.Up(t.Context(), nodes)
}
