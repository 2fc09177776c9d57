package rotator

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	rbac "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	syaml "sigs.k8s.io/yaml"

	"github.com/certquake/certquake/harness"
)

// decode reads a manifest strictly, each document into its type. The definition is of no type here;
// a real API server takes it in another test.
func decode(t *testing.T, manifest []byte) map[string]runtime.Object {
	t.Helper()
	types := map[string]func() runtime.Object{
		"Namespace":           func() runtime.Object { return &core.Namespace{} },
		"ServiceAccount":      func() runtime.Object { return &core.ServiceAccount{} },
		"Role":                func() runtime.Object { return &rbac.Role{} },
		"RoleBinding":         func() runtime.Object { return &rbac.RoleBinding{} },
		"ClusterRole":         func() runtime.Object { return &rbac.ClusterRole{} },
		"ClusterRoleBinding":  func() runtime.Object { return &rbac.ClusterRoleBinding{} },
		"Deployment":          func() runtime.Object { return &apps.Deployment{} },
		"PodDisruptionBudget": func() runtime.Object { return &policy.PodDisruptionBudget{} },
	}
	objects := map[string]runtime.Object{}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifest), 4096)
	for {
		var document runtime.RawExtension
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return objects
		}
		require.NoError(t, err)
		var head struct{ Kind string }
		require.NoError(t, syaml.Unmarshal(document.Raw, &head))
		if head.Kind == "CustomResourceDefinition" {
			continue
		}
		require.Contains(t, types, head.Kind)
		object := types[head.Kind]()
		require.NoError(t, syaml.UnmarshalStrict(document.Raw, object), "%s", document.Raw)
		objects[head.Kind] = object
	}
}

func manifest(t *testing.T, i Installation) []byte {
	t.Helper()
	text, err := Manifest(i)
	require.NoError(t, err)
	assert.NotContains(t, string(text), "\nstatus:")
	assert.NotContains(t, string(text), "creationTimestamp: null")
	return text
}

// Everything is there, in an order in which it can be applied.
func TestManifest(t *testing.T) {
	t.Parallel()
	all := manifest(t, Installation{Namespace: "ops", Image: "certquake:v1", Replicas: 2})
	assert.Equal(t, []string{
		"Namespace /ops", "CustomResourceDefinition /rotatingsecrets.certquake.dev",
		"ServiceAccount ops/certquake-rotator",
		"Role ops/certquake-rotator-leader", "RoleBinding ops/certquake-rotator-leader",
		"ClusterRole /ops:certquake-rotator", "ClusterRoleBinding /ops:certquake-rotator",
		"Deployment ops/certquake-rotator", "PodDisruptionBudget ops/certquake-rotator",
	}, kindsOf(t, all))
	decode(t, all)
	one := manifest(t, Installation{
		Namespace: "ops", Image: "certquake:v1", Watch: []string{"a", "b"}, Replicas: 1,
	})
	assert.Equal(t, []string{
		"Namespace /ops", "CustomResourceDefinition /rotatingsecrets.certquake.dev",
		"ServiceAccount ops/certquake-rotator",
		"Role ops/certquake-rotator-leader", "RoleBinding ops/certquake-rotator-leader",
		"Role a/certquake-rotator", "RoleBinding a/certquake-rotator",
		"Role b/certquake-rotator", "RoleBinding b/certquake-rotator",
		"Deployment ops/certquake-rotator",
	}, kindsOf(t, one))
	deployment, ok := decode(t, one)["Deployment"].(*apps.Deployment)
	require.True(t, ok)
	assert.Equal(t, []string{
		"rotator", "--lease-namespace=ops", "--metrics-address=:8080", "--health-address=:8081",
		"--namespace=a", "--namespace=b",
	}, deployment.Spec.Template.Spec.Containers[0].Args)
}

// The operator's pods may do nothing that it does not need, and their labels find them.
func TestDeployment(t *testing.T) {
	t.Parallel()
	objects := decode(t, manifest(t, Installation{
		Namespace: "ops", Image: "registry.example/certquake@sha256:" +
			"0123456789012345678901234567890123456789012345678901234567890123", Replicas: 3,
	}))
	deployment, ok := objects["Deployment"].(*apps.Deployment)
	require.True(t, ok)
	assert.EqualValues(t, 3, *deployment.Spec.Replicas)
	assert.Equal(t, deployment.Spec.Selector.MatchLabels, deployment.Spec.Template.Labels)
	pod := deployment.Spec.Template.Spec
	assert.Equal(t, "certquake-rotator", pod.ServiceAccountName)
	assert.True(t, *pod.SecurityContext.RunAsNonRoot)
	assert.Equal(t, core.SeccompProfileTypeRuntimeDefault, pod.SecurityContext.SeccompProfile.Type)
	require.Len(t, pod.Containers, 1)
	c := pod.Containers[0]
	assert.Empty(t, c.Command, "the program is the image's entrypoint")
	assert.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
	assert.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
	assert.Equal(t, []core.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop)
	assert.Equal(t, "10m", c.Resources.Requests.Cpu().String())
	assert.Equal(t, "64Mi", c.Resources.Requests.Memory().String())
	assert.Equal(t, []core.ContainerPort{
		{Name: "metrics", ContainerPort: 8080}, {Name: "health", ContainerPort: 8081},
	}, c.Ports)
	assert.Equal(t, "/healthz", c.LivenessProbe.HTTPGet.Path)
	assert.Equal(t, "/readyz", c.ReadinessProbe.HTTPGet.Path)
	for _, probe := range []*core.Probe{c.LivenessProbe, c.ReadinessProbe} {
		assert.Equal(t, "health", probe.HTTPGet.Port.StrVal)
	}
	budget, ok := objects["PodDisruptionBudget"].(*policy.PodDisruptionBudget)
	require.True(t, ok)
	assert.Equal(t, 1, budget.Spec.MaxUnavailable.IntValue())
	assert.Equal(t, deployment.Spec.Selector, budget.Spec.Selector)
}

// Everything that is wrong with an installation is said at once.
func TestManifestRefuses(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		i    Installation
		want []string
	}{
		"nothing": {Installation{}, []string{
			"--namespace is missing", "--image is missing", "0 replicas would do nothing",
		}},
		"names": {
			Installation{Namespace: "Ops", Image: "a b", Watch: []string{"x", "y_z"}, Replicas: -1},
			[]string{
				`no namespace can be called "Ops"`, `no namespace can be called "y_z"`,
				`"a b" names no image`, "-1 replicas would do nothing",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Manifest(row.i)
			require.ErrorIs(t, err, harness.ErrSettings)
			for _, want := range row.want {
				assert.ErrorContains(t, err, want)
			}
		})
	}
}
