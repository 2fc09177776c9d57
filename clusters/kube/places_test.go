package kube

import (
	"encoding/json"
	"strings"
	"testing"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/peer"
)

// lent is a cluster of somebody, whose namespaces are called otherwise than planned.
func lent() clusters.Target {
	return clusters.Target{
		Image: "workload:1", Shared: true, Run: "r1", Spread: true,
		Namespace: func(planned string) string { return "mine-" + planned },
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	plan := smallPlan(func(p *scenarios.Plan) { p.Peers[0].Namespace = "shop" })
	assert.Equal(t, []string{"default", "shop"}, Namespaces(plan))
	target := lent()
	p := newPlaces(plan, &target)
	assert.Equal(t, []string{"mine-default", "mine-shop"}, p.watched())
	assert.Equal(t, "mine-shop", p.of("shop"))
	assert.Equal(t, "kube-system", p.of("kube-system"), "none of the plan's")
	namespace, name := p.split("default/leaf")
	assert.Equal(t, "mine-default/leaf", namespace+"/"+name)
	assert.Equal(t, "default/leaf", p.join("mine-default", "leaf"))
	assert.Equal(t, "default/leaf", p.join("default", "leaf"))
	moved := p.move(plan)
	assert.Equal(t, "mine-default/leaf", moved.Peers[0].Secret)
	assert.Equal(t, "mine-shop", moved.Peers[0].Namespace)

	none := newPlaces(plan, &clusters.Target{})
	assert.Equal(t, []string{""}, none.watched())
	namespace, name = none.split("default/leaf")
	assert.Equal(t, "default/leaf", namespace+"/"+name)
	assert.Equal(t, "default/leaf", none.join("default", "leaf"))
}

// What is applied is in the cluster's namespaces, says whose it is and goes wherever there is room;
// the plan stays as it was.
func TestWorkloadsOnSomebodysCluster(t *testing.T) {
	t.Parallel()
	plan := smallPlan()
	before, err := json.Marshal(plan)
	require.NoError(t, err)
	objects, err := Workloads(plan, lent())
	require.NoError(t, err)
	objects = append(objects, Manifests(plan, lent())...)
	after, err := json.Marshal(plan)
	require.NoError(t, err)
	assert.JSONEq(t, string(before), string(after))
	for _, object := range objects {
		named := object.GetLabels()
		assert.Equal(t, "r1", RunOf(object), object.GetName())
		if _, cluster := object.(*certmanager.ClusterIssuer); cluster {
			assert.Equal(t, "mine-default", named[labelHome])
			assert.Empty(t, object.GetNamespace())
			continue
		}
		assert.Equal(t, "mine-default", object.GetNamespace(), object.GetName())
		assert.NotContains(t, named, labelHome)
	}
	made := typedAs[*appsv1.Deployment](objects)
	require.Len(t, made, 3)
	assert.Equal(t, "r1", made[0].Spec.Template.Labels[labelRun])
	spec := made[0].Spec.Template.Spec
	assert.Equal(t, map[string]string{"kubernetes.io/os": "linux"}, spec.NodeSelector)
	assert.Equal(t, "10m", spec.Containers[0].Resources.Requests.Cpu().String())
	assert.Equal(t, []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: "kubernetes.io/hostname", WhenUnsatisfiable: "ScheduleAnyway",
		LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{
			labelManaged: managedBy, labelRun: "r1", labelWorkload: "a",
		}},
	}}, spec.TopologySpreadConstraints)
	for _, toleration := range spec.Tolerations {
		assert.Equal(t, corev1.TaintEffectNoExecute, toleration.Effect,
			"no pod is put on a node that is not ready")
	}
	require.Len(t, spec.Containers, 1)
	var config peer.Config
	require.NoError(t, json.Unmarshal([]byte(spec.Containers[0].Args[2]), &config))
	require.NotEmpty(t, config.Streams)
	target := config.Streams[0].Targets[0]
	assert.Equal(t, "a-1.a.mine-default.svc.cluster.local.:7443", target.Address)
	assert.Equal(t, "a.example", target.ServerName, "what certificates are about stays")
}

// A run that may be partial says in the record what it left out.
func TestDoLeavesOut(t *testing.T) {
	t.Parallel()
	r, w, _ := newTestWorld(t)
	w.skips = New(Provider{Name: "test", Partial: true}).impossible
	action := scenarios.Action{ID: "stop", Verb: scenarios.StopAPI}
	require.NoError(t, w.Do(t.Context(), action))
	w.ledger.unlike(map[string]string{"fast": "syncFrequency 1s was planned"})
	acts := r.sofar().of(record.Act)
	require.Len(t, acts, 1)
	assert.Equal(t, record.Skipped, acts[0].Outcome)
	assert.Equal(t, "stop", acts[0].Action)
	assert.Equal(t, "stop-api is not possible on test", acts[0].Detail)
	assert.Empty(t, w.queues)
	assert.Equal(t, []record.Span{{
		Kind: record.Unlike, Source: "fast", Detail: "syncFrequency 1s was planned",
	}}, r.out.of(record.Unlike))

	w.ledger.placed(map[string]string{"a-0": "worker-2", "a-1": "worker-1"})
	rows := r.sofar().of(record.Placed)
	require.Len(t, rows, len(w.plan.Pods))
	assert.Equal(t, "a-1 on worker-1", rows[1].Source+" on "+rows[1].Detail)
	assert.Equal(t, "n runs b, c; o runs a",
		guestList(map[string]string{"c": "n", "b": "n", "a": "o"}))
}

// What is left out is not refused.
func TestCheckPartial(t *testing.T) {
	t.Parallel()
	plan := smallPlan(func(p *scenarios.Plan) {
		p.Actions = []scenarios.Action{{ID: "x", Verb: scenarios.StopAPI}}
	})
	require.Error(t, New(Provider{Name: "test"}).Check(plan))
	assert.NoError(t, New(Provider{Name: "test", Partial: true}).Check(plan))
}

// What is rendered is what Up's Target would have applied.
func TestRenderSketch(t *testing.T) {
	t.Parallel()
	text, err := New(Provider{Name: "test", Sketch: func(scenarios.Plan) clusters.Target {
		return lent()
	}}).Render(smallPlan())
	require.NoError(t, err)
	assert.Equal(t, 7, strings.Count(string(text), "\n  namespace: mine-default\n"))
	assert.NotContains(t, string(text), "namespace: default")
}

// A pod that the cluster does not let be made is told of with the cluster's reason.
func TestNotMade(t *testing.T) {
	t.Parallel()
	_, w, _ := newTestWorld(t)
	for _, event := range []struct{ object, message string }{
		{"a-1-5d9c", "pods \"a-1-5d9c-\" is forbidden: exceeded quota"},
		{"other-77", "not about this"},
	} {
		_, err := w.native.CoreV1().Events("default").Create(t.Context(), &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: event.object, Namespace: "default"},
			Reason:     "FailedCreate", Message: event.message,
			InvolvedObject: corev1.ObjectReference{Name: event.object},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	err := w.notReady()
	require.ErrorContains(t, err, "pod a-0 is not ready: no such pod was made\n")
	require.ErrorContains(t, err, "pod a-1 is not ready: no such pod was made: "+
		"pods \"a-1-5d9c-\" is forbidden: exceeded quota")
}
