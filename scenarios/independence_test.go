package scenarios_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/scenarios"
)

// independent is a scenario with room for more of everything.
const independent = `
apiVersion: certquake.dev/v1alpha1
kind: Scenario
metadata: {name: independent}
spec:
  why: What is added must not disturb the dice of what is there.
  manifests: [akka-pki.yaml]
  workloads:
    - {name: w, akkaPeers: {replicas: 6, secret: my-service-akka-tls-certificate}}
  load:
    # another load
    - {workload: w, newConnections: {rate: 1/s}}
  faults:
    # another fault
    - {at: 10m, restart: {workload: w, pods: 2}}
  horizon: 1h
`

// TestWhatIsAddedDisturbsNoDice: loads, faults and pods draw by name, not by place.
func TestWhatIsAddedDisturbsNoDice(t *testing.T) {
	plan := func(edits ...string) scenarios.Plan {
		text := strings.NewReplacer(edits...).Replace(independent)
		s, err := scenarios.Parse("i.yaml", []byte(text), scenarios.Library(), nil)
		require.NoError(t, err)
		p, err := s.Plan(3)
		require.NoError(t, err)
		return p
	}
	base := plan()
	more := plan(
		"# another load", "- {workload: other, to: [w], newConnections: {rate: 7/s}}",
		"# another fault", "- {at: 5m, rotateLeaf: {certificate: my-service-akka-tls-certificate}}",
		"  load:", "    - {name: other, akkaPeers: {replicas: 2, "+
			"secret: my-service-akka-tls-certificate}}\n  load:")
	assert.Equal(t, base.Pods, more.Pods[:6])
	assert.Equal(t, base.Streams, more.Streams[2:])
	assert.Equal(t, base.Actions[0].Pods, more.Actions[1].Pods)

	larger := plan("replicas: 6", "replicas: 60")
	assert.Equal(t, base.Pods[0].SyncDue, larger.Pods[0].SyncDue)
	again := plan("replicas: 6", "replicas: 7")
	var kept int
	for _, pod := range again.Actions[0].Pods {
		if pod == base.Actions[0].Pods[0] || pod == base.Actions[0].Pods[1] || pod == "w-6" {
			kept++
		}
	}
	assert.Equal(t, 2, kept, "a seventh pod takes the place of one victim at most")
}
