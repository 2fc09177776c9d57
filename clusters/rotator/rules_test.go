package rotator

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/yaml"
	syaml "sigs.k8s.io/yaml"

	"github.com/certquake/certquake/clusters/rotator/api"
)

// kindsOf returns the kinds and names of YAML documents.
func kindsOf(t *testing.T, text []byte) []string {
	t.Helper()
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	var kinds []string
	for {
		text, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return kinds
		}
		require.NoError(t, err)
		object := &meta.PartialObjectMetadata{}
		require.NoError(t, syaml.Unmarshal(text, object))
		kinds = append(kinds, object.Kind+" "+object.Namespace+"/"+object.Name)
	}
}

func TestRBAC(t *testing.T) {
	t.Parallel()
	all, err := RBAC("ops", nil)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"ServiceAccount ops/certquake-rotator",
		"Role ops/certquake-rotator-leader", "RoleBinding ops/certquake-rotator-leader",
		"ClusterRole /ops:certquake-rotator", "ClusterRoleBinding /ops:certquake-rotator",
	}, kindsOf(t, all))
	two, err := RBAC("ops", []string{"a", "b"})
	require.NoError(t, err)
	assert.Equal(t, []string{
		"ServiceAccount ops/certquake-rotator",
		"Role ops/certquake-rotator-leader", "RoleBinding ops/certquake-rotator-leader",
		"Role a/certquake-rotator", "RoleBinding a/certquake-rotator",
		"Role b/certquake-rotator", "RoleBinding b/certquake-rotator",
	}, kindsOf(t, two))
	assert.NotContains(t, string(two), "ClusterRole")
	_, err = RBAC("", nil)
	require.ErrorIs(t, err, errNamespace)
}

// The definition has the fields that the types have, and no others: it was generated from them.
func TestDefinitionIsOfTheTypes(t *testing.T) {
	t.Parallel()
	var crd struct {
		Spec struct {
			Group    string
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema properties `json:"openAPIV3Schema"`
				}
			}
		}
	}
	require.NoError(t, syaml.Unmarshal(CRD(), &crd))
	assert.Equal(t, api.Group, crd.Spec.Group)
	require.Len(t, crd.Spec.Versions, 1)
	assert.Equal(t, api.Version, crd.Spec.Versions[0].Name)
	top := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
	compareFields(t, "spec", top.Properties["spec"], reflect.TypeFor[api.RotatingSecretSpec]())
	compareFields(t, "status", top.Properties["status"],
		reflect.TypeFor[api.RotatingSecretStatus]())
}

type properties struct {
	Properties map[string]properties
	Items      *properties
}

func compareFields(t *testing.T, path string, has properties, want reflect.Type) {
	t.Helper()
	for want.Kind() == reflect.Pointer {
		want = want.Elem()
	}
	if want.Kind() == reflect.Slice && has.Items != nil {
		has, want = *has.Items, want.Elem()
	}
	written := []reflect.Type{ // by themselves
		reflect.TypeFor[meta.Time](), reflect.TypeFor[runtime.RawExtension](),
		reflect.TypeFor[intstr.IntOrString](),
	}
	if want.Kind() != reflect.Struct || slices.Contains(written, want) {
		return
	}
	var names []string
	for field := range want.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
		compareFields(t, path+"."+name, has.Properties[name], field.Type)
	}
	assert.ElementsMatch(t, names, slices.Collect(maps.Keys(has.Properties)),
		"%s: run `make generate`", path)
}

// Metrics tell where a rotation is, and nothing of one that is gone.
func TestMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t, asked30)
	w.consumer("a", shop)
	w.consumer("b", shop)
	w.until(23 * time.Hour)
	w.pods["b"].stick()
	w.until(26 * time.Hour)
	m := w.operator.metrics
	labels := []string{namespace, "jwt"}
	assert.InDelta(t, 1, value(t, m.steps.WithLabelValues(append(labels, "Publish")...)), 0)
	assert.InDelta(t, 1, value(t, m.phase.WithLabelValues(append(labels, "Published")...)), 0)
	assert.InDelta(t, 0, value(t, m.phase.WithLabelValues(append(labels, "Steady")...)), 0)
	assert.InDelta(t, 1, value(t, m.halted.WithLabelValues(labels...)), 0)
	assert.InDelta(t, 1, value(t, m.late.WithLabelValues(labels...)), 0)
	began := float64(start.Add(24 * time.Hour).Unix())
	assert.InDelta(t, began, value(t, m.began.WithLabelValues(labels...)), 1)
	require.NoError(t, w.server.Delete(t.Context(), w.rs()))
	w.until(27 * time.Hour)
	w.reconcile()
	for _, c := range []prometheus.Collector{m.steps, m.phase, m.halted, m.late, m.began, m.next} {
		all := make(chan prometheus.Metric, 10)
		c.Collect(all)
		assert.Empty(t, all)
	}
}

func value(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	out := &dto.Metric{}
	require.NoError(t, m.Write(out))
	return out.GetGauge().GetValue() + out.GetCounter().GetValue()
}

func TestJobNames(t *testing.T) {
	t.Parallel()
	rs := &api.RotatingSecret{}
	rs.Name, rs.UID = strings.Repeat("a", 29)+".b.example", "u1"
	one := jobName(rs, move{"r1", "r2", 1})
	assert.Regexp(t, `^a{29}-1-[0-9a-f]{10}$`, one)
	assert.LessOrEqual(t, len(jobName(rs, move{"r1", "r2", 1 << 62})), 63)
	names := []string{one, jobName(rs, move{"r2", "r1", 1}), jobName(rs, move{"r1", "r2", 2})}
	rs.UID = "u2"
	names = append(names, jobName(rs, move{"r1", "r2", 1}))
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(names))), 4)
}

func TestOptions(t *testing.T) {
	t.Parallel()
	err := Run(t.Context(), nil, Options{Poll: time.Millisecond})
	require.ErrorIs(t, err, errPoll)
	options, err := Options{Namespaces: []string{"a", "b"}}.manager()
	require.NoError(t, err)
	assert.True(t, options.LeaderElection)
	assert.Equal(t, "0", options.Metrics.BindAddress)
	assert.Len(t, options.Cache.DefaultNamespaces, 2)
	for kind, selection := range options.Cache.ByObject {
		assert.False(t, selection.Label.Empty(), "%T: only what is labelled is watched", kind)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "abc", cut("abc", 3))
	assert.Equal(t, "a…", cut("abcde", 4))
	assert.Equal(t, "ä…", cut("äöü", 5))
	assert.Equal(t, "…", cut("öüä", 4))
}
