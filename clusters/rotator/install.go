package rotator

import (
	"errors"
	"fmt"
	"slices"

	reference "github.com/google/go-containerregistry/pkg/name"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/certquake/certquake/clusters/roles"
	"github.com/certquake/certquake/harness"
)

// Installation says which operator to install.
type Installation struct {
	Namespace string   // that it runs in, with the Lease
	Image     string   // whose entrypoint is certquake
	Watch     []string // the namespaces that it looks after; none means all
	Replicas  int      // of which one works, and the others stand by
}

// The ports of the operator's pods, and their names.
const (
	metricsPort, metricsName = 8080, "metrics"
	healthPort, healthName   = 8081, "health"
)

// Manifest returns everything that an operator in a cluster needs, as YAML documents in the order
// to apply them in: its namespace, the definition, its account and roles, and the Deployment.
// Namespaces to watch must be there. Errors are of the Installation and wrap harness.ErrSettings.
func Manifest(i Installation) ([]byte, error) {
	if err := i.check(); err != nil {
		return nil, err
	}
	namespace := &core.Namespace{
		TypeMeta:   meta.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: meta.ObjectMeta{Name: i.Namespace},
	}
	first, err := roles.YAML([]runtime.Object{namespace})
	if err != nil {
		return nil, err
	}
	objects := append(permissions(i.Namespace, i.Watch), i.deployment())
	if i.Replicas > 1 {
		objects = append(objects, i.budget())
	}
	rest, err := roles.YAML(objects)
	return slices.Concat(first, CRD(), rest), err
}

// check gathers what is wrong.
func (i Installation) check() error {
	problems := []error{checkPlaces(i.Namespace, i.Watch)}
	if i.Image == "" {
		problems = append(problems, errImage)
	} else if _, err := reference.ParseReference(i.Image); err != nil {
		problems = append(problems,
			fmt.Errorf("%w: %q names no image: %w", harness.ErrSettings, i.Image, err))
	}
	if i.Replicas < 1 {
		problems = append(problems, fmt.Errorf("%w: %d replicas would do nothing: say 1 or more",
			harness.ErrSettings, i.Replicas))
	}
	return errors.Join(problems...)
}

// errImage is of an operator without a program.
var errImage = fmt.Errorf("%w: --image is missing: build certquake with CGO_ENABLED=0, make its "+
	"image by `certquake image --program certquake`, push it to where the cluster can pull it, "+
	"and name it", harness.ErrSettings)

// ownLabels find the operator's pods.
func ownLabels() map[string]string { return map[string]string{"app.kubernetes.io/name": name} }

// deployment returns the Deployment of the operator.
func (i Installation) deployment() *apps.Deployment {
	replicas := int32(min(i.Replicas, 1<<10)) //nolint:gosec // it is bounded
	selector := &meta.LabelSelector{MatchLabels: ownLabels()}
	return &apps.Deployment{
		TypeMeta: meta.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: meta.ObjectMeta{
			Name: name, Namespace: i.Namespace, Labels: ownLabels(),
		},
		Spec: apps.DeploymentSpec{
			Replicas: &replicas, Selector: selector,
			Strategy: apps.DeploymentStrategy{Type: apps.RollingUpdateDeploymentStrategyType},
			Template: core.PodTemplateSpec{
				ObjectMeta: meta.ObjectMeta{Labels: ownLabels()},
				Spec: core.PodSpec{
					ServiceAccountName: name,
					EnableServiceLinks: new(false),
					SecurityContext: &core.PodSecurityContext{
						RunAsNonRoot: new(true), // as whom is the image's or the cluster's to say
						SeccompProfile: &core.SeccompProfile{
							Type: core.SeccompProfileTypeRuntimeDefault,
						},
					},
					Containers: []core.Container{i.container()},
					TopologySpreadConstraints: []core.TopologySpreadConstraint{{
						MaxSkew: 1, TopologyKey: core.LabelHostname,
						WhenUnsatisfiable: core.ScheduleAnyway, LabelSelector: selector,
					}},
				},
			},
		},
	}
}

func (i Installation) container() core.Container {
	args := []string{
		"rotator", "--lease-namespace=" + i.Namespace,
		fmt.Sprintf("--metrics-address=:%d", metricsPort),
		fmt.Sprintf("--health-address=:%d", healthPort),
	}
	for _, watched := range i.Watch {
		args = append(args, "--namespace="+watched)
	}
	probe := func(path string) *core.Probe {
		return &core.Probe{
			ProbeHandler: core.ProbeHandler{HTTPGet: &core.HTTPGetAction{
				Path: path, Port: intstr.FromString(healthName),
			}},
			PeriodSeconds: 10, TimeoutSeconds: 5, FailureThreshold: 3,
		}
	}
	return core.Container{
		Name: "rotator", Image: i.Image, Args: args,
		Ports: []core.ContainerPort{
			{Name: metricsName, ContainerPort: metricsPort},
			{Name: healthName, ContainerPort: healthPort},
		},
		LivenessProbe: probe("/healthz"), ReadinessProbe: probe("/readyz"),
		// No limit: a key of 8192 bits, or a thousand consumers at once, is a peak and no leak.
		Resources: core.ResourceRequirements{Requests: core.ResourceList{
			core.ResourceCPU:    resource.MustParse("10m"),
			core.ResourceMemory: resource.MustParse("64Mi"),
		}},
		SecurityContext: &core.SecurityContext{
			AllowPrivilegeEscalation: new(false),
			ReadOnlyRootFilesystem:   new(true),
			Capabilities:             &core.Capabilities{Drop: []core.Capability{"ALL"}},
		},
	}
}

// budget keeps those who drain nodes from taking the operator's pods all at once.
func (i Installation) budget() *policy.PodDisruptionBudget {
	one, always := intstr.FromInt32(1), policy.AlwaysAllow
	return &policy.PodDisruptionBudget{
		TypeMeta:   meta.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: meta.ObjectMeta{Name: name, Namespace: i.Namespace, Labels: ownLabels()},
		Spec: policy.PodDisruptionBudgetSpec{
			MaxUnavailable: &one, UnhealthyPodEvictionPolicy: &always,
			Selector: &meta.LabelSelector{MatchLabels: ownLabels()},
		},
	}
}
