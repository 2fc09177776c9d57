package kube

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/e2e-framework/klient/k8s"
	"sigs.k8s.io/yaml"

	"github.com/certquake/certquake/clusters"
	rotating "github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/peer"
)

// The labels of every object that is made for a run. The pod label holds a pod's planned name. The
// run label is of clusters that outlive a run; what has no namespace is then labelled with one.
const (
	labelManaged  = "app.kubernetes.io/managed-by"
	labelWorkload = scenarios.PodWorkload
	labelPod      = scenarios.PodName
	labelRun      = "certquake.dev/run"
	labelHome     = "certquake.dev/namespace"
	managedBy     = "certquake"
)

// The workload's ports, folders and user.
const (
	peerPort      = 7443
	adminPort     = 7480
	mountPath     = "/var/run/secrets/certquake"
	statePath     = "/var/run/certquake"
	containerName = "peer"
	userID        = 65532 // "nonroot" of distroless images
	gracePeriod   = int64(3)
	secretMode    = int32(0o444)
)

// attemptDeadline is how long one attempt to connect may take.
const attemptDeadline = 5 * time.Second

// Manifests returns a scenario's own objects in the order in which they can be applied. But for
// their namespaces, and a label of the run where clusters outlive one, they are as given.
func Manifests(plan scenarios.Plan, target clusters.Target) []k8s.Object {
	where := newPlaces(plan, &target)
	plan = where.move(plan)
	issuing := certmanager.SchemeGroupVersion
	objects := definition(plan)
	for i := range plan.World.ClusterIssuers {
		objects = append(objects,
			typed(&plan.World.ClusterIssuers[i], issuing.WithKind("ClusterIssuer")))
	}
	for i := range plan.World.Issuers {
		objects = append(objects, typed(&plan.World.Issuers[i], issuing.WithKind("Issuer")))
	}
	for i := range plan.World.Certificates {
		objects = append(objects,
			typed(&plan.World.Certificates[i], issuing.WithKind("Certificate")))
	}
	for i := range plan.World.RotatingSecrets {
		objects = append(objects, typed(&plan.World.RotatingSecrets[i],
			rotating.GroupVersion().WithKind(rotating.Kind)))
	}
	if target.Run == "" {
		return objects
	}
	for _, object := range objects {
		named := maps.Clone(object.GetLabels())
		if named == nil {
			named = map[string]string{}
		}
		maps.Copy(named, runMarks(target.Run))
		if object.GetNamespace() == "" {
			named[labelHome] = where.watched()[0]
		}
		object.SetLabels(named)
	}
	return objects
}

// typed returns a copy of an object that says what it is.
func typed(object k8s.Object, kind schema.GroupVersionKind) k8s.Object {
	said, _ := object.DeepCopyObject().(k8s.Object)
	said.GetObjectKind().SetGroupVersionKind(kind)
	return said
}

// Workloads returns the Services and Deployments that a plan's workloads are made of, for a cluster
// whose nodes and image the Target names: one headless Service a workload, and one Deployment a
// pod, since each pod has a node, an identity and a schedule of its own.
func Workloads(plan scenarios.Plan, target clusters.Target) ([]k8s.Object, error) {
	plan = newPlaces(plan, &target).move(plan)
	var objects []k8s.Object
	groups := map[string]scenarios.PeerGroup{}
	consumers := map[string]scenarios.Consumer{}
	for _, group := range plan.Peers {
		groups[group.Workload] = group
	}
	for _, consumer := range plan.Consumers() {
		consumers[consumer.Workload] = consumer
		objects = append(objects,
			service(consumer, roleOf(&plan, consumer.Workload), target.Run))
	}
	for _, pod := range plan.Pods {
		var told any
		if tokens := plan.TokensOf(pod.Workload); tokens != nil {
			told = tokenConfig(&plan, tokens, pod)
		} else {
			told = peerConfig(plan, groups, pod)
		}
		config, err := json.Marshal(told)
		if err != nil {
			return nil, fmt.Errorf("configure pod %s: %w", pod.Name, err)
		}
		made := deployment(consumers[pod.Workload], pod, target.Run)
		spec := &made.Spec.Template.Spec
		spec.Containers = []corev1.Container{
			container(roleOf(&plan, pod.Workload), target.Image, config, len(spec.Volumes) > 1),
		}
		if target.Spread {
			spread(spec, made.Labels)
			spec.NodeSelector = map[string]string{corev1.LabelOSStable: "linux"}
			spec.Containers[0].Resources.Requests = modest()
		} else {
			spec.NodeSelector = map[string]string{corev1.LabelHostname: target.Nodes[pod.Node]}
			spec.Tolerations = tolerations()
		}
		objects = append(objects, made)
	}
	return objects, nil
}

// Render returns everything a run applies as YAML, for people.
func Render(plan scenarios.Plan, target clusters.Target) ([]byte, error) {
	workloads, err := Workloads(plan, target)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, object := range append(Manifests(plan, target), workloads...) {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			return nil, fmt.Errorf("render %s: %w", object.GetName(), err)
		}
		delete(fields, "status") // it is the cluster's to say
		text, err := yaml.Marshal(fields)
		if err != nil {
			return nil, fmt.Errorf("render %s: %w", object.GetName(), err)
		}
		out.WriteString("---\n")
		out.Write(text)
	}
	return out.Bytes(), nil
}

// RunLabels returns the labels of everything that a run makes on a cluster that outlives it.
func RunLabels(run string) map[string]string { return runMarks(run) }

// NoRunLabels returns the labels of what is somebody's own although a run may have made it.
func NoRunLabels() map[string]string { return map[string]string{labelRun: ""} }

// RunOf returns the run that made an object, "" if none says so.
func RunOf(object metav1.Object) string {
	named := object.GetLabels()
	if named[labelManaged] != managedBy {
		return ""
	}
	return named[labelRun]
}

// runMarks returns the labels of what a run makes; the run is "" on a cluster that ends with it.
func runMarks(run string) map[string]string {
	named := map[string]string{labelManaged: managedBy}
	if run != "" {
		named[labelRun] = run
	}
	return named
}

func marks(workload, run string) map[string]string {
	named := runMarks(run)
	named[labelWorkload] = workload
	return named
}

// service returns the headless Service by which pods find each other. Like Akka's it publishes
// addresses that are not ready: a kubelet that is held must not cut its pods off.
func service(group scenarios.Consumer, role role, run string) *corev1.Service {
	return &corev1.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{
			Name: group.Workload, Namespace: group.Namespace,
			Labels: marks(group.Workload, run),
		},
		Spec: corev1.ServiceSpec{
			ClusterIP: corev1.ClusterIPNone, PublishNotReadyAddresses: true,
			Selector: map[string]string{labelWorkload: group.Workload},
			Ports: []corev1.ServicePort{
				{Name: role.port, Port: peerPort, TargetPort: intstr.FromString(role.port)},
				{Name: role.admin, Port: adminPort, TargetPort: intstr.FromString(role.admin)},
			},
		},
	}
}

// deployment returns the Deployment of one planned pod, without a container and a place yet.
func deployment(group scenarios.Consumer, pod scenarios.Pod, run string) *appsv1.Deployment {
	named := marks(group.Workload, run)
	named[labelPod] = pod.Name
	return &appsv1.Deployment{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{
			Name: pod.Name, Namespace: group.Namespace, Labels: named,
		},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(1)), RevisionHistoryLimit: new(int32(0)),
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType},
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{labelPod: pod.Name}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: named},
				Spec: corev1.PodSpec{
					Hostname: pod.Name, Subdomain: group.Workload,
					AutomountServiceAccountToken:  new(false),
					EnableServiceLinks:            new(false),
					DNSConfig:                     nameServers(),
					TerminationGracePeriodSeconds: new(gracePeriod),
					SecurityContext: &corev1.PodSecurityContext{
						RunAsNonRoot: new(true), RunAsUser: new(int64(userID)),
						RunAsGroup: new(int64(userID)),
						SeccompProfile: &corev1.SeccompProfile{
							Type: corev1.SeccompProfileTypeRuntimeDefault,
						},
					},
					Volumes: volumes(group.Secret),
				},
			},
		},
	}
}

// volumes returns the volumes of a pod: that of its Secret, if it mounts one, and one for what it
// leaves to its next process.
func volumes(secret string) []corev1.Volume {
	state := corev1.Volume{Name: "state", VolumeSource: corev1.VolumeSource{
		EmptyDir: &corev1.EmptyDirVolumeSource{},
	}}
	if secret == "" {
		return []corev1.Volume{state}
	}
	_, name, _ := strings.Cut(secret, "/")
	return []corev1.Volume{
		{Name: "credential", VolumeSource: corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{SecretName: name, DefaultMode: new(secretMode)},
		}},
		state,
	}
}

// nameServers has a question to them that is lost asked again in time: by default that would take
// as long as a whole attempt may.
func nameServers() *corev1.PodDNSConfig {
	return &corev1.PodDNSConfig{Options: []corev1.PodDNSConfigOption{
		{Name: "timeout", Value: new("1")}, {Name: "attempts", Value: new("4")},
	}}
}

// tolerations let pods stay on a node, and come back to it, whose kubelet is held for so long that
// the node counts as lost: what is rehearsed is late secrets, not eviction.
func tolerations() []corev1.Toleration {
	return []corev1.Toleration{
		{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists},
		{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists},
	}
}

// spread has a workload's pods be put on nodes in turn, as far as nodes can be found: a pod that
// waits for the one node that would keep the balance helps nobody. No node is tolerated that others
// avoid, but a pod is not evicted within minutes of a node's last word either.
func spread(spec *corev1.PodSpec, named map[string]string) {
	fellows := map[string]string{}
	for _, label := range []string{labelManaged, labelRun, labelWorkload} {
		if value := named[label]; value != "" {
			fellows[label] = value
		}
	}
	spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: corev1.LabelHostname,
		WhenUnsatisfiable: corev1.ScheduleAnyway,
		LabelSelector:     &metav1.LabelSelector{MatchLabels: fellows},
	}}
	spec.Tolerations = tolerations()
	for i := range spec.Tolerations {
		spec.Tolerations[i].Effect = corev1.TaintEffectNoExecute
	}
}

// modest returns what a pod asks for, where quotas may want that it does: less than it takes under
// load, so that a workload of hundreds finds room.
func modest() corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(10, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(24<<20, resource.BinarySI),
	}
}

// container returns the container of a pod in a role. It mounts the pod's Secret if there is one.
func container(role role, image string, config []byte, mounts bool) corev1.Container {
	folders := []corev1.VolumeMount{{Name: "state", MountPath: statePath}}
	if mounts {
		folders = slices.Insert(folders, 0,
			corev1.VolumeMount{Name: "credential", MountPath: mountPath, ReadOnly: true})
	}
	return corev1.Container{
		Name: containerName, Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
		Args: []string{role.command, "--config", string(config)},
		Ports: []corev1.ContainerPort{
			{Name: role.port, ContainerPort: peerPort},
			{Name: role.admin, ContainerPort: adminPort},
		},
		ReadinessProbe: &corev1.Probe{
			ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
				Path: peer.PathReady, Port: intstr.FromInt32(adminPort),
			}},
			PeriodSeconds: 1, FailureThreshold: 3,
		},
		VolumeMounts: folders,
		SecurityContext: &corev1.SecurityContext{
			ReadOnlyRootFilesystem: new(true), AllowPrivilegeEscalation: new(false),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
}
