package kube

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/e2e-framework/klient/k8s"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/peer"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with testdata/name, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got), "run with -update and read the difference")
}

// akka is the plan of the library's akka-rotation.
func akka(t *testing.T) scenarios.Plan {
	t.Helper()
	scenario, err := scenarios.Open("akka-rotation", nil)
	require.NoError(t, err)
	plan, err := scenario.Plan(1)
	require.NoError(t, err)
	return plan
}

func TestRender(t *testing.T) {
	t.Parallel()
	backend := New(Provider{Name: "kind", Image: "certquake.dev/workload:test"})
	first, err := backend.Render(akka(t))
	require.NoError(t, err)
	again, err := backend.Render(akka(t))
	require.NoError(t, err)
	assert.Equal(t, first, again)
	golden(t, "akka.yaml", first)
}

// workloads returns what a plan's workloads are made of on a cluster with other names for nodes.
func workloads(t *testing.T, plan scenarios.Plan) ([]*corev1.Service, []*appsv1.Deployment) {
	t.Helper()
	nodes := map[string]string{}
	for _, node := range plan.Nodes {
		nodes[node.Name] = "cluster-" + node.Name
	}
	objects, err := Workloads(plan, clusters.Target{Image: "workload:1", Nodes: nodes})
	require.NoError(t, err)
	return typedAs[*corev1.Service](objects), typedAs[*appsv1.Deployment](objects)
}

func typedAs[T any](objects []k8s.Object) []T {
	var found []T
	for _, object := range objects {
		if typed, ok := object.(T); ok {
			found = append(found, typed)
		}
	}
	return found
}

func TestWorkloads(t *testing.T) {
	t.Parallel()
	plan := akka(t)
	services, deployments := workloads(t, plan)
	require.Len(t, services, 1)
	service := services[0]
	assert.Equal(t, "my-service", service.Name)
	assert.Equal(t, corev1.ClusterIPNone, service.Spec.ClusterIP)
	assert.True(t, service.Spec.PublishNotReadyAddresses)

	require.Len(t, deployments, 12)
	for i, d := range deployments {
		pod := plan.Pods[i]
		spec := d.Spec.Template.Spec
		assert.Equal(t, pod.Name, d.Name)
		assert.Equal(t, int32(1), *d.Spec.Replicas)
		assert.Equal(t, appsv1.RecreateDeploymentStrategyType, d.Spec.Strategy.Type)
		assert.Equal(t, pod.Name, spec.Hostname)
		assert.Empty(t, validation.IsDNS1123Label(spec.Hostname))
		assert.Equal(t, service.Name, spec.Subdomain)
		assert.Equal(t, map[string]string{corev1.LabelHostname: "cluster-" + pod.Node},
			spec.NodeSelector)
		labels := d.Spec.Template.Labels
		assert.Equal(t, pod.Name, labels[labelPod])
		for key, value := range service.Spec.Selector {
			assert.Equal(t, value, labels[key], "the Service finds the pod")
		}
		for key, value := range d.Spec.Selector.MatchLabels {
			assert.Equal(t, value, labels[key], "the Deployment owns its pod alone")
		}
	}
}

func TestPodSpec(t *testing.T) {
	t.Parallel()
	_, deployments := workloads(t, akka(t))
	spec := deployments[0].Spec.Template.Spec
	assert.True(t, *spec.SecurityContext.RunAsNonRoot)
	assert.Equal(t, int64(65532), *spec.SecurityContext.RunAsUser)
	assert.Equal(t, corev1.SeccompProfileTypeRuntimeDefault,
		spec.SecurityContext.SeccompProfile.Type)
	assert.False(t, *spec.AutomountServiceAccountToken)
	assert.Equal(t, int64(3), *spec.TerminationGracePeriodSeconds)
	assert.Equal(t, []corev1.Toleration{
		{Key: "node.kubernetes.io/not-ready", Operator: corev1.TolerationOpExists},
		{Key: "node.kubernetes.io/unreachable", Operator: corev1.TolerationOpExists},
	}, spec.Tolerations, "for as long as a node is held")
	require.Len(t, spec.Containers, 1)
	container := spec.Containers[0]
	assert.Equal(t, "workload:1", container.Image)
	assert.True(t, *container.SecurityContext.ReadOnlyRootFilesystem)
	assert.False(t, *container.SecurityContext.AllowPrivilegeEscalation)
	assert.Equal(t, []corev1.Capability{"ALL"}, container.SecurityContext.Capabilities.Drop)
	assert.Equal(t, peer.PathReady, container.ReadinessProbe.HTTPGet.Path)
	assert.Empty(t, container.Env)
	require.Len(t, spec.Volumes, 2)
	assert.Equal(t, "my-service-akka-tls-certificate", spec.Volumes[0].Secret.SecretName)
	assert.Equal(t, int32(0o444), *spec.Volumes[0].Secret.DefaultMode)
	assert.NotNil(t, spec.Volumes[1].EmptyDir)
	assert.Equal(t, []corev1.VolumeMount{
		{Name: "credential", MountPath: mountPath, ReadOnly: true},
		{Name: "state", MountPath: statePath},
	}, container.VolumeMounts)
}

// What a pod is told comes out of its arguments as it went in.
func TestPeerConfig(t *testing.T) {
	t.Parallel()
	plan := akka(t)
	_, deployments := workloads(t, plan)
	groups := map[string]scenarios.PeerGroup{plan.Peers[0].Workload: plan.Peers[0]}
	for i, d := range deployments {
		args := d.Spec.Template.Spec.Containers[0].Args
		require.Len(t, args, 3)
		assert.Equal(t, []string{"peers", "--config"}, args[:2])
		var got peer.Config
		decoder := json.NewDecoder(strings.NewReader(args[2]))
		decoder.DisallowUnknownFields()
		require.NoError(t, decoder.Decode(&got))
		want := peerConfig(plan, groups, plan.Pods[i])
		assert.Empty(t, want.TLS.Curves)
		got.TLS.Curves = want.TLS.Curves // empty or nil, all are allowed
		assert.Equal(t, want, got)
		require.Len(t, got.Streams, 1)
		stream := plan.Streams[i]
		assert.Equal(t, stream.Phase, got.Streams[0].Phase)
		assert.Equal(t, stream.Every, got.Streams[0].Every)
		assert.Equal(t, stream.First, got.Streams[0].First)
		var targets []string
		for _, target := range got.Streams[0].Targets {
			targets = append(targets, target.Pod)
		}
		assert.Equal(t, plan.Targets(stream), targets)
	}
	config := peerConfig(plan, groups, plan.Pods[0])
	assert.Equal(t, plan.Horizon, config.Horizon)
	assert.Equal(t, attemptDeadline, config.Deadline)
	assert.Equal(t, "/var/run/secrets/certquake", config.Mount)
	assert.Equal(t, peer.Target{
		Pod: "my-service-1", ServerName: plan.Peers[0].ServerName,
		Address: "my-service-1.my-service.default.svc.cluster.local.:7443",
	}, config.Streams[0].Targets[0])
	assert.Equal(t, ":7443", config.Listen)
	assert.Equal(t, ":7480", config.Admin)
}

// A stream that dials nobody is not told of, as it is not accounted for.
func TestPeerConfigLeavesOutIdleStreams(t *testing.T) {
	t.Parallel()
	plan := smallPlan(func(p *scenarios.Plan) {
		p.Streams = append([]scenarios.Stream{
			{Source: "a-0", To: []string{"nobody"}, Every: time.Second},
		}, p.Streams...)
	})
	groups := map[string]scenarios.PeerGroup{"a": plan.Peers[0]}
	config := peerConfig(plan, groups, plan.Pods[0])
	require.Len(t, config.Streams, 1)
	assert.Equal(t, 500*time.Millisecond, config.Streams[0].Phase)
	assert.Len(t, newLedger(plan).lanes["a-0"].streams, 1)
	assert.Empty(t, peerConfig(plan, groups, plan.Pods[1]).Streams)
}

func TestAssociates(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		kind string
		pods int
		want [][]string
	}{
		{"a ring", "ring", 3, [][]string{{"a-1"}, {"a-2"}, {"a-0"}}},
		{"a ring of two is one association", "ring", 2, [][]string{{"a-1"}, nil}},
		{"a ring of one is none", "ring", 1, [][]string{nil}},
		{"a mesh", "mesh", 3, [][]string{{"a-1", "a-2"}, {"a-2"}, nil}},
		{"none", "none", 3, [][]string{nil, nil, nil}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			plan := smallPlan(func(p *scenarios.Plan) {
				p.Pods = append(p.Pods[:tt.pods:tt.pods], scenarios.Pod{Name: "b-0", Workload: "b"})
				p.Peers[0].Associations = tt.kind
			})
			for i, want := range tt.want {
				groups := map[string]scenarios.PeerGroup{"a": plan.Peers[0]}
				var got []string
				for _, target := range peerConfig(plan, groups, plan.Pods[i]).Associations {
					got = append(got, target.Pod)
				}
				assert.Equal(t, want, got)
			}
		})
	}
}

func TestManifests(t *testing.T) {
	t.Parallel()
	var got []string
	for _, object := range Manifests(akka(t), clusters.Target{}) {
		got = append(got, object.GetObjectKind().GroupVersionKind().Kind+" "+object.GetName())
	}
	assert.Equal(t, []string{
		"ClusterIssuer self-signed-issuer", "Issuer akka-tls-ca-issuer",
		"Certificate akka-tls-ca-certificate", "Certificate my-service-akka-tls-certificate",
	}, got)
}
