//go:build embedded

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/certquake/certquake/clusters/embedded/controlplane/cluster"
)

// deploy runs pods that mount the Secret, one on each node.
func (c *client) deploy(image, secret string, replicas int32) {
	c.t.Helper()
	labels := &meta.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	spec := core.PodSpec{
		TopologySpreadConstraints: []core.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: core.LabelHostname, LabelSelector: labels,
			WhenUnsatisfiable: core.DoNotSchedule,
		}},
		Containers: []core.Container{{
			Name: "app", Image: image, Args: []string{"watch", "/tls"},
			VolumeMounts: []core.VolumeMount{{Name: "tls", MountPath: "/tls"}},
			ReadinessProbe: &core.Probe{PeriodSeconds: 1, ProbeHandler: core.ProbeHandler{
				HTTPGet: &core.HTTPGetAction{Path: "/", Port: intstr.FromInt32(8080)},
			}},
		}},
		Volumes: []core.Volume{{Name: "tls", VolumeSource: core.VolumeSource{
			Secret: &core.SecretVolumeSource{SecretName: secret},
		}}},
	}
	_, err := c.kube.AppsV1().Deployments("default").Create(c.t.Context(), &apps.Deployment{
		ObjectMeta: meta.ObjectMeta{Name: "web"},
		Spec: apps.DeploymentSpec{
			Replicas: &replicas, Selector: labels,
			Template: core.PodTemplateSpec{
				ObjectMeta: meta.ObjectMeta{Labels: labels.MatchLabels}, Spec: spec,
			},
		},
	}, meta.CreateOptions{})
	require.NoError(c.t, err)
}

// awaitPods returns the pods, by node, when count of them are ready.
func (c *client) awaitPods(selector string, count int, within time.Duration) map[string]core.Pod {
	c.t.Helper()
	pods := map[string]core.Pod{}
	require.Eventually(c.t, func() bool {
		list, err := c.kube.CoreV1().Pods("default").
			List(c.t.Context(), meta.ListOptions{LabelSelector: selector})
		if err != nil {
			return false
		}
		clear(pods)
		for _, pod := range list.Items {
			for _, condition := range pod.Status.Conditions {
				if condition.Type == core.PodReady && condition.Status == core.ConditionTrue {
					pods[pod.Spec.NodeName] = pod
				}
			}
		}
		return len(pods) == count
	}, within, 100*time.Millisecond)
	return pods
}

// row is what testpod prints.
type row struct {
	Event  string    `json:"event"`
	At     time.Time `json:"at"`
	SHA256 string    `json:"sha256"`
}

// rows reads a pod's log from the run folder, without the API.
func rows(t *testing.T, ready cluster.Ready, pod core.Pod) []row {
	t.Helper()
	var list []row
	for _, node := range ready.Nodes {
		if node.Name != pod.Spec.NodeName {
			continue
		}
		name := "default_" + pod.Name + "_" + string(pod.UID)
		text, err := os.ReadFile(filepath.Join(node.PodLogs, name, "app", "0.log"))
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			fields := strings.SplitN(line, " ", 4)
			require.Len(t, fields, 4, line)
			var one row
			require.NoError(t, json.Unmarshal([]byte(fields[3]), &one), line)
			list = append(list, one)
		}
	}
	return list
}

func count(list []row, event string) int {
	n := 0
	for _, one := range list {
		if one.Event == event {
			n++
		}
	}
	return n
}

func hasChange(t *testing.T, ready cluster.Ready, pod core.Pod, sum string) bool {
	t.Helper()
	_, found := change(rows(t, ready, pod), sum)
	return found
}

func change(list []row, sum string) (time.Time, bool) {
	for _, one := range list {
		if one.Event == "change" && one.SHA256 == sum {
			return one.At, true
		}
	}
	return time.Time{}, false
}

func awaitChange(
	t *testing.T, ready cluster.Ready, pod core.Pod, sum string, within time.Duration,
) time.Time {
	t.Helper()
	require.Eventually(t, func() bool { return hasChange(t, ready, pod, sum) },
		within, 20*time.Millisecond, "no change on %s", pod.Spec.NodeName)
	at, _ := change(rows(t, ready, pod), sum)
	return at
}

// podLife runs what does not fit a Deployment, and sees how it ends.
func podLife(t *testing.T, api *client) {
	t.Helper()
	pod := func(name, image string, args ...string) *core.Pod {
		return &core.Pod{
			ObjectMeta: meta.ObjectMeta{Name: name},
			Spec: core.PodSpec{
				RestartPolicy: core.RestartPolicyAlways,
				Containers:    []core.Container{{Name: "app", Image: image, Args: args}},
			},
		}
	}
	_, err := api.kube.CoreV1().Pods("default").
		Create(t.Context(), pod("crash", testImage, "exit", "7"), meta.CreateOptions{})
	require.NoError(t, err)
	api.callees()
	for name, args := range map[string][]string{
		"ends": {"exit", "0"}, "calls-service": {"get", "http://web/"},
		"calls-pod": {"get", "http://callee-0.callee.default.svc.cluster.local:8080/"},
	} {
		job := pod(name, testImage, args...)
		job.Spec.RestartPolicy = core.RestartPolicyOnFailure
		_, err := api.kube.BatchV1().Jobs("default").Create(t.Context(), &batch.Job{
			ObjectMeta: meta.ObjectMeta{Name: name},
			Spec:       batch.JobSpec{Template: core.PodTemplateSpec{Spec: job.Spec}},
		}, meta.CreateOptions{})
		require.NoError(t, err)
	}

	api.waiting("crash", "CrashLoopBackOff")
	for _, name := range []string{"ends", "calls-service", "calls-pod"} {
		require.Eventually(t, func() bool {
			now, err := api.kube.BatchV1().Jobs("default").
				Get(t.Context(), name, meta.GetOptions{})
			return err == nil && now.Status.Succeeded == 1
		}, time.Minute, 100*time.Millisecond, name)
	}
}

// waiting returns what the pod's container says when it waits for the reason.
func (c *client) waiting(name, reason string) string {
	c.t.Helper()
	message := ""
	require.Eventually(c.t, func() bool {
		statuses := c.pod(name).Status.ContainerStatuses
		if len(statuses) == 0 || statuses[0].State.Waiting == nil {
			return false
		}
		message = statuses[0].State.Waiting.Message
		return statuses[0].State.Waiting.Reason == reason
	}, time.Minute, 50*time.Millisecond, "%s never waits for %s", name, reason)
	return message
}

// callees makes a Service for the Deployment and a StatefulSet of one behind a headless one.
func (c *client) callees() {
	c.t.Helper()
	service := func(name, app, address string, port int32) {
		_, err := c.kube.CoreV1().Services("default").Create(c.t.Context(), &core.Service{
			ObjectMeta: meta.ObjectMeta{Name: name},
			Spec: core.ServiceSpec{
				ClusterIP: address,
				Selector:  map[string]string{"app": app},
				Ports:     []core.ServicePort{{Port: port, TargetPort: intstr.FromInt32(8080)}},
			},
		}, meta.CreateOptions{})
		require.NoError(c.t, err)
	}
	service("web", "web", "", 80)
	service("callee", "callee", core.ClusterIPNone, 8080)
	labels := map[string]string{"app": "callee"}
	_, err := c.kube.AppsV1().StatefulSets("default").Create(c.t.Context(), &apps.StatefulSet{
		ObjectMeta: meta.ObjectMeta{Name: "callee"},
		Spec: apps.StatefulSetSpec{
			ServiceName: "callee",
			Selector:    &meta.LabelSelector{MatchLabels: labels},
			Template: core.PodTemplateSpec{
				ObjectMeta: meta.ObjectMeta{Labels: labels},
				Spec: core.PodSpec{Containers: []core.Container{{
					Name:  "app",
					Image: testImage, Args: []string{"watch", "/none"},
					ReadinessProbe: &core.Probe{PeriodSeconds: 1, ProbeHandler: core.ProbeHandler{
						Exec: &core.ExecAction{Command: []string{
							"testpod", "get", "http://127.0.0.1:8080/",
						}},
					}},
				}}},
			},
		},
	}, meta.CreateOptions{})
	require.NoError(c.t, err)
}

// scale waits until the Deployment has that many ready pods, and returns how long it took.
func (c *client) scale(replicas int32) time.Duration {
	c.t.Helper()
	began, deployments := time.Now(), c.kube.AppsV1().Deployments("default")
	_, err := deployments.Patch(c.t.Context(), "web", types.MergePatchType,
		fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas), meta.PatchOptions{})
	require.NoError(c.t, err)
	require.Eventually(c.t, func() bool {
		now, err := deployments.Get(c.t.Context(), "web", meta.GetOptions{})
		return err == nil && now.Status.ReadyReplicas == replicas &&
			now.Status.Replicas == replicas
	}, 2*time.Minute, 50*time.Millisecond)
	return time.Since(began)
}

// terminated deletes a pod and reads its log to the end, which is the answer to SIGTERM.
func terminated(t *testing.T, ready cluster.Ready, api *client, pod core.Pod) {
	t.Helper()
	for _, node := range ready.Nodes {
		if node.Name != pod.Spec.NodeName {
			continue
		}
		name := "default_" + pod.Name + "_" + string(pod.UID)
		log, err := os.Open(filepath.Join(node.PodLogs, name, "app", "0.log"))
		require.NoError(t, err)
		defer func() { _ = log.Close() }()
		err = api.kube.CoreV1().Pods("default").
			Delete(t.Context(), pod.Name, meta.DeleteOptions{})
		require.NoError(t, err)
		var text []byte
		require.Eventually(t, func() bool {
			more, err := io.ReadAll(log)
			text = append(text, more...)
			return err == nil && strings.Contains(string(text), `"event":"end"`)
		}, 30*time.Second, 50*time.Millisecond)
	}
}
