package kind

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/certquake/certquake/scenarios"
)

// plannedNodes are of every way in which a kubelet can be set.
func plannedNodes() []scenarios.PlannedNode {
	return []scenarios.PlannedNode{
		{Name: "fast", SyncFrequency: 10 * time.Second, ChangeDetection: scenarios.Watch},
		{Name: "slow", SyncFrequency: time.Minute, ChangeDetection: scenarios.Get},
		{
			Name: "old", SyncFrequency: time.Minute, ChangeDetection: scenarios.Cache,
			CacheTTL: 30 * time.Second,
		},
	}
}

func TestConfigHasAWorkerForEachNode(t *testing.T) {
	t.Parallel()
	config := configOf("mine", plannedNodes(), "2")
	assert.Equal(t, "mine", config.Name)
	var roles []v1alpha4.NodeRole
	for _, node := range config.Nodes {
		roles = append(roles, node.Role)
	}
	assert.Equal(t, []v1alpha4.NodeRole{"control-plane", "worker", "worker", "worker"}, roles)
	assert.Equal(t, []string{controllersPatch}, config.KubeadmConfigPatches)
}

func TestConfigOfTheFirstVersionOfCgroups(t *testing.T) {
	t.Parallel()
	config := configOf("mine", plannedNodes(), "1")
	assert.Equal(t, []string{controllersPatch, cgroupPatch}, config.KubeadmConfigPatches)
}

func TestWorkerNames(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "mine-worker", workerName("mine", 0))
	assert.Equal(t, "mine-worker2", workerName("mine", 1))
	assert.Equal(t, "mine-worker10", workerName("mine", 9))
}

// What is said to be brought up is what this program was built with.
func TestVersionsAreThoseOfTheModule(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	for path, version := range map[string]string{
		managerModule: certManagerVersion, "sigs.k8s.io/kind": kindVersion,
	} {
		assert.Contains(t, string(text), "\n\t"+path+" "+version+"\n")
	}
}

func TestEditConfigChangesOnlyWhatPlansSpeakOf(t *testing.T) {
	t.Parallel()
	file := "kind: KubeletConfiguration\nfailCgroupV1: false\nsyncFrequency: 0s\n"
	got, err := editConfig(file, plannedNodes()[1])
	require.NoError(t, err)
	assert.Equal(t, "configMapAndSecretChangeDetectionStrategy: Get\nfailCgroupV1: false\n"+
		"kind: KubeletConfiguration\nsyncFrequency: 1m0s\n", got)
}

func TestTalkNamesTheStepsThatBegin(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		" • Preparing nodes 📦 📦   ...\n":              "preparing nodes",
		" • Starting control-plane 🕹️  ...\n":         "starting control-plane",
		" • Ensuring node image (a/node:v1) 🖼  ...\n": "ensuring node image (a/node:v1)",
		" ✓ Preparing nodes 📦 📦 \n":                   "",
		"Creating cluster \"certquake-012345\" ...\n": "",
		" •  ...\n": "",
	} {
		assert.Equal(t, want, stepOf(message), message)
	}
}

func TestTTLOfACachingNode(t *testing.T) {
	t.Parallel()
	nodes := plannedNodes()
	assert.Equal(t, 30*time.Second, ttlOf(nodes[2]))
	nodes[2].CacheTTL = 0
	assert.Equal(t, time.Minute, ttlOf(nodes[2]))
}
