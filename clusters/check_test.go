package clusters

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// Every node that no kubelet can be like is told of, and how many there may be.
func TestCheckNodes(t *testing.T) {
	good := scenarios.PlannedNode{
		Name: "good", SyncFrequency: time.Second, ChangeDetection: scenarios.Cache,
		CacheTTL: 2 * time.Second,
	}
	require.NoError(t, CheckNodes([]scenarios.PlannedNode{good}, 1, "a cluster"))
	still, half, odd := good, good, good
	still.Name, still.SyncFrequency = "still", 0
	half.Name, half.CacheTTL = "half", time.Second/2
	odd.Name, odd.ChangeDetection = "odd", "Guess"
	err := CheckNodes([]scenarios.PlannedNode{good, still, half, odd}, 3, "a cluster")
	require.EqualError(t, err, "4 nodes: a cluster has 1 to 3\n"+
		"node still: syncFrequency 0s is not positive\n"+
		"node half: cacheTTL 500ms: kubelets know whole seconds only\n"+
		`node odd: changeDetection "Guess" is none of Watch, Cache, Get`)
	require.ErrorIs(t, Unsupported(err), harness.ErrUnsupported)
	assert.NoError(t, Unsupported(nil))
}
