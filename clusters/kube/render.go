package kube

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/e2e-framework/klient/k8s"
	"sigs.k8s.io/yaml"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/peer"
)

// The labels of every object that is made for a run. The pod label holds a pod's planned name.
const (
	labelManaged  = "app.kubernetes.io/managed-by"
	labelWorkload = "certquake.dev/workload"
	labelPod      = "certquake.dev/pod"
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

// Manifests returns a scenario's own objects in the order in which they can be applied.
func Manifests(plan scenarios.Plan) []k8s.Object {
	var objects []k8s.Object
	for i := range plan.World.ClusterIssuers {
		objects = append(objects, typed(&plan.World.ClusterIssuers[i], "ClusterIssuer"))
	}
	for i := range plan.World.Issuers {
		objects = append(objects, typed(&plan.World.Issuers[i], "Issuer"))
	}
	for i := range plan.World.Certificates {
		objects = append(objects, typed(&plan.World.Certificates[i], "Certificate"))
	}
	return objects
}

// typed returns a copy of a cert-manager object that says what it is.
func typed(object k8s.Object, kind string) k8s.Object {
	said, _ := object.DeepCopyObject().(k8s.Object)
	said.GetObjectKind().SetGroupVersionKind(certmanager.SchemeGroupVersion.WithKind(kind))
	return said
}

// Workloads returns the Services and Deployments that a plan's workloads are made of, for a cluster
// whose nodes and image the Target names: one headless Service a workload, and one Deployment a
// pod, since each pod has a node, an identity and a schedule of its own.
func Workloads(plan scenarios.Plan, target clusters.Target) ([]k8s.Object, error) {
	var objects []k8s.Object
	groups := map[string]scenarios.PeerGroup{}
	for _, group := range plan.Peers {
		groups[group.Workload] = group
		objects = append(objects, service(group))
	}
	for _, pod := range plan.Pods {
		config, err := json.Marshal(peerConfig(plan, groups, pod))
		if err != nil {
			return nil, fmt.Errorf("configure pod %s: %w", pod.Name, err)
		}
		node := target.Nodes[pod.Node]
		objects = append(objects, deployment(groups[pod.Workload], pod, node, target.Image, config))
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
	for _, object := range append(Manifests(plan), workloads...) {
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

func marks(workload string) map[string]string {
	return map[string]string{labelManaged: managedBy, labelWorkload: workload}
}

// service returns the headless Service by which peers find each other. Like Akka's it publishes
// addresses that are not ready: a kubelet that is held must not cut its pods off.
func service(group scenarios.PeerGroup) *corev1.Service {
	return &corev1.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{
			Name: group.Workload, Namespace: group.Namespace, Labels: marks(group.Workload),
		},
		Spec: corev1.ServiceSpec{
			ClusterIP: corev1.ClusterIPNone, PublishNotReadyAddresses: true,
			Selector: map[string]string{labelWorkload: group.Workload},
			Ports: []corev1.ServicePort{
				{Name: "tls", Port: peerPort, TargetPort: intstr.FromString("tls")},
				{Name: "admin", Port: adminPort, TargetPort: intstr.FromString("admin")},
			},
		},
	}
}

func deployment(
	group scenarios.PeerGroup, pod scenarios.Pod, node, image string, config []byte,
) *appsv1.Deployment {
	named := marks(group.Workload)
	named[labelPod] = pod.Name
	_, secretName, _ := strings.Cut(group.Secret, "/")
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
					NodeSelector:                  map[string]string{corev1.LabelHostname: node},
					Tolerations:                   tolerations(),
					AutomountServiceAccountToken:  new(false),
					EnableServiceLinks:            new(false),
					TerminationGracePeriodSeconds: new(gracePeriod),
					SecurityContext: &corev1.PodSecurityContext{
						RunAsNonRoot: new(true), RunAsUser: new(int64(userID)),
						RunAsGroup: new(int64(userID)),
						SeccompProfile: &corev1.SeccompProfile{
							Type: corev1.SeccompProfileTypeRuntimeDefault,
						},
					},
					Containers: []corev1.Container{container(image, config)},
					Volumes: []corev1.Volume{
						{Name: "credential", VolumeSource: corev1.VolumeSource{
							Secret: &corev1.SecretVolumeSource{
								SecretName: secretName, DefaultMode: new(secretMode),
							},
						}},
						{Name: "state", VolumeSource: corev1.VolumeSource{
							EmptyDir: &corev1.EmptyDirVolumeSource{},
						}},
					},
				},
			},
		},
	}
}

// tolerations let pods stay on a node, and come back to it, whose kubelet is held for so long that
// the node counts as lost: what is rehearsed is late secrets, not eviction.
func tolerations() []corev1.Toleration {
	return []corev1.Toleration{
		{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists},
		{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists},
	}
}

func container(image string, config []byte) corev1.Container {
	return corev1.Container{
		Name: containerName, Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
		Args: []string{"peers", "--config", string(config)},
		Ports: []corev1.ContainerPort{
			{Name: "tls", ContainerPort: peerPort}, {Name: "admin", ContainerPort: adminPort},
		},
		ReadinessProbe: &corev1.Probe{
			ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
				Path: peer.PathReady, Port: intstr.FromInt32(adminPort),
			}},
			PeriodSeconds: 1, FailureThreshold: 3,
		},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "credential", MountPath: mountPath, ReadOnly: true},
			{Name: "state", MountPath: statePath},
		},
		SecurityContext: &corev1.SecurityContext{
			ReadOnlyRootFilesystem: new(true), AllowPrivilegeEscalation: new(false),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
}

// peerConfig returns what one pod is told.
func peerConfig(
	plan scenarios.Plan, groups map[string]scenarios.PeerGroup, pod scenarios.Pod,
) peer.Config {
	group := groups[pod.Workload]
	config := peer.Config{
		Pod: pod.Name, Mount: mountPath, State: statePath,
		Listen: fmt.Sprintf(":%d", peerPort), Admin: fmt.Sprintf(":%d", adminPort),
		Policy: harness.Policy(group), Read: harness.Reading(group), TLS: harness.TLS(group),
		ReadGap: group.ReadGap, CacheAge: pod.CacheAge,
		Horizon: plan.Horizon, Deadline: attemptDeadline, Retry: group.Retry,
	}
	workload := map[string]string{}
	for _, p := range plan.Pods {
		workload[p.Name] = p.Workload
	}
	target := func(name string) peer.Target {
		far := groups[workload[name]]
		return peer.Target{
			Pod: name, ServerName: far.ServerName, Address: fmt.Sprintf(
				"%s.%s.%s.svc.cluster.local.:%d", name, far.Workload, far.Namespace, peerPort),
		}
	}
	for _, s := range plan.Streams {
		if s.Source != pod.Name {
			continue
		}
		stream := peer.Stream{Every: s.Every, Phase: s.Phase, First: s.First}
		for _, name := range plan.Targets(s) {
			stream.Targets = append(stream.Targets, target(name))
		}
		if len(stream.Targets) > 0 {
			config.Streams = append(config.Streams, stream)
		}
	}
	var fellows []string
	for _, p := range plan.Pods {
		if p.Workload == group.Workload {
			fellows = append(fellows, p.Name)
		}
	}
	self := slices.Index(fellows, pod.Name)
	for _, name := range harness.Associates(group, fellows, self) {
		config.Associations = append(config.Associations, target(name))
	}
	return config
}
