//go:build linux && embedded

package rotator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	events "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/embedded"
	"github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/rotation"
)

// cluster is a real API server, with real controllers and a kubelet.
type cluster struct {
	*testing.T // of the part that is under way
	target     *clusters.Target
	client     client.WithWatch

	lock    sync.Mutex
	history []string // the rings of the Secret jwt
}

// raise brings a cluster up, with images that are programs.
func raise(t *testing.T, images map[string]string) *cluster {
	t.Helper()
	target, err := embedded.Up(t.Context(), []scenarios.PlannedNode{{
		Name: "one", SyncFrequency: time.Minute, ChangeDetection: scenarios.Watch,
	}}, embedded.Options{Bin: "../../bin", Images: images})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, target.Down(context.WithoutCancel(t.Context()))) })
	c := &cluster{T: t, target: target}
	scheme, err := newScheme()
	require.NoError(t, err)
	require.NoError(t, events.AddToScheme(scheme))
	require.NoError(t, apps.AddToScheme(scheme))
	c.client, err = client.NewWithWatch(target.Config, client.Options{Scheme: scheme})
	require.NoError(t, err)
	return c
}

// bring brings a cluster up, with the definition and the operator's roles.
func bring(t *testing.T) *cluster {
	t.Helper()
	c := raise(t, nil)
	roles, err := RBAC("default", nil)
	require.NoError(t, err)
	c.apply(string(roles))
	c.apply(string(CRD()))
	c.served()
	return c
}

// served waits until there can be RotatingSecrets.
func (c *cluster) served() {
	c.Helper()
	c.await("the definition is served", func() bool {
		return c.client.List(c.Context(), &api.RotatingSecretList{}) == nil
	})
}

// apply creates objects from YAML.
func (c *cluster) apply(text string) {
	c.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(c, err)
		require.NoError(c, c.client.Create(c.Context(), object))
	}
}

func (c *cluster) await(what string, is func() bool) {
	c.Helper()
	require.Eventually(c, is, 30*time.Second, 50*time.Millisecond, what)
}

// operate runs the operator with the account that RBAC makes, and returns a function that ends it.
func (c *cluster) operate() (end func()) {
	c.Helper()
	config := rest.CopyConfig(c.target.Config)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:default:" + name,
		Groups:   []string{"system:serviceaccounts", "system:authenticated"},
	}
	ctx, cancel := context.WithCancel(c.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, config, Options{
			LeaseNamespace: "default", Poll: time.Second,
			Logger: funcr.New(func(prefix, text string) {
				fmt.Fprintln(os.Stderr, prefix, text) // some of it comes after the test
			}, funcr.Options{}),
		})
	}()
	return sync.OnceFunc(func() {
		cancel()
		assert.NoError(c, <-ended)
	})
}

// follow notes every ring of the Secret jwt.
func (c *cluster) follow() {
	c.Helper()
	watch, err := c.client.Watch(c.Context(), &core.SecretList{}, client.InNamespace("default"),
		client.MatchingLabels{Label: "jwt"})
	require.NoError(c, err)
	c.Cleanup(watch.Stop)
	go func() {
		for event := range watch.ResultChan() {
			secret, ok := event.Object.(*core.Secret)
			if !ok {
				continue
			}
			names := strings.Join(rotation.Names(secret.Data), " ")
			c.lock.Lock()
			if n := len(c.history); n == 0 || c.history[n-1] != names {
				c.history = append(c.history, names)
			}
			c.lock.Unlock()
		}
	}()
}

func (c *cluster) rings() []string {
	c.lock.Lock()
	defer c.lock.Unlock()
	return slices.Clone(c.history)
}

func (c *cluster) rs(name string) *api.RotatingSecret {
	rs := &api.RotatingSecret{}
	rs.Namespace, rs.Name = "default", name
	return rs
}

// change patches a RotatingSecret.
func (c *cluster) change(name, patch string) {
	c.Helper()
	require.NoError(c, c.client.Patch(
		c.Context(), c.rs(name), client.RawPatch("application/merge-patch+json", []byte(patch))))
}

func (c *cluster) gone(object client.Object) bool {
	return apierrors.IsNotFound(
		c.client.Get(c.Context(), client.ObjectKeyFromObject(object), object))
}

// A real API server takes the definition, and the whole life of a key goes as it should, with an
// operator that is ended in the middle, has no rights but those that RBAC prints, and a migration
// that a real Job runs.
func TestEmbedded(t *testing.T) {
	c := bring(t)
	t.Run("validation", c.validation)
	t.Run("rotation", c.rotation)
	t.Run("retention", c.retention)
}

func (c *cluster) rotation(t *testing.T) {
	c.T = t
	c.follow()
	end := c.operate()
	defer func() { end() }()
	c.apply(`
apiVersion: certquake.dev/v1alpha1
kind: RotatingSecret
metadata: {name: jwt, namespace: default}
spec:
  generate: {length: 16}
  promoteAfter: 3s
  retireAfter: 2s
  deletionPolicy: Delete
  migration:
    jobTemplate:
      spec:
        template:
          spec:
            containers:
              - {name: c, image: "` + c.target.Image + `", args: ["--version"]}
`)
	c.await("the first key", func() bool { return len(c.rings()) == 1 })
	c.change("jwt", `{"spec":{"orders":{"rotate":"leak-1"}}}`)
	c.await("the second key", func() bool { return len(c.rings()) == 2 })
	end()
	end = c.operate()
	want := []string{
		"r1.key.primary", "r1.key.primary r2.key", "r1.key r2.key.primary", "r2.key.primary",
	}
	c.await("the rotation", func() bool { return len(c.rings()) >= len(want) })
	assert.Equal(t, want, c.rings())
	rs := c.rs("jwt")
	c.await("the status", func() bool {
		require.NoError(t, c.client.Get(t.Context(), client.ObjectKeyFromObject(rs), rs))
		return rs.Status.Phase == "Steady" && rs.Status.Primary == "r2"
	})
	assert.True(t, apimeta.IsStatusConditionTrue(rs.Status.Conditions, "Ready"))
	said := &events.EventList{}
	c.await("the events", func() bool {
		require.NoError(t, c.client.List(t.Context(), said, client.InNamespace("default")))
		var reasons []string
		for _, event := range said.Items {
			if event.Regarding.Kind == api.Kind {
				reasons = append(reasons, event.Reason)
			}
		}
		return slices.Contains(reasons, "Promote") && slices.Contains(reasons, "Retire")
	})
	require.NoError(t, c.client.Delete(t.Context(), rs))
	secret := &core.Secret{ObjectMeta: named(rs, "jwt")}
	c.await("the removal", func() bool { return c.gone(rs) && c.gone(secret) })
}

// However a RotatingSecret is deleted, its Secret stays.
func (c *cluster) retention(t *testing.T) {
	c.T = t
	defer c.operate()()
	c.apply(`
apiVersion: certquake.dev/v1alpha1
kind: RotatingSecret
metadata: {name: kept, namespace: default}
spec: {generate: {kind: ed25519}, ids: uuid, every: 24h}
`)
	rs := c.rs("kept")
	secret := &core.Secret{ObjectMeta: named(rs, "kept")}
	c.await("the key", func() bool { return !c.gone(secret) })
	require.NoError(t, c.client.Delete(t.Context(), rs,
		client.PropagationPolicy(meta.DeletePropagationForeground)))
	c.await("the removal", func() bool { return c.gone(rs) })
	time.Sleep(time.Second) // for a garbage collector that might come by
	assert.False(t, c.gone(secret))
	assert.Len(t, secret.Data, 2)
}

// What makes no sense is refused, and told why.
func (c *cluster) validation(t *testing.T) {
	c.T = t
	sample, err := os.ReadFile("config/samples/rotatingsecret.yaml")
	require.NoError(t, err)
	object := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal(sample, &object.Object))
	object.SetNamespace("default")
	require.NoError(t, c.client.Create(t.Context(), object, client.DryRunAll))
	for name, row := range map[string]struct{ spec, want string }{
		"a kind":    {"{generate: {kind: dsa}}", "spec.generate.kind"},
		"bits":      {"{generate: {bits: 2048}}", "bits mean something for rsa only"},
		"curve":     {"{generate: {kind: rsa, curve: P-256}}", "a curve means something"},
		"length":    {"{generate: {kind: rsa, length: 32}}", "a length means something"},
		"short":     {"{generate: {length: 12}}", "16 bytes at least"},
		"no time":   {"{every: 1 day}", "spec.every"},
		"before":    {"{every: -1h}", "spec.every"},
		"longest":   {"{every: 99999999999999h}", "spec.every"},
		"gate":      {"{gate: uptake}", "the gate uptake needs consumers"},
		"everybody": {"{consumers: {selector: {}}}", "select by at least one label"},
		"prefix":    {"{prefix: k1}", "ends in a digit"},
		"path": {
			"{consumers: {selector: {matchLabels: {a: b}}, path: x}}", "spec.consumers.path",
		},
		"policy":       {"{deletionPolicy: Maybe}", "spec.deletionPolicy"},
		"unknown":      {"{evry: 1h}", "unknown field"},
		"ids":          {"{ids: roman}", "spec.ids"},
		"no template":  {"{migration: {}}", "spec.migration.jobTemplate"},
		"a name":       {"", "at most 63 characters"},
		"misfit":       {"{generate: {kind: ec, curve: P-224}}", "spec.generate.curve"},
		"small":        {"{generate: {kind: rsa, bits: 1024}}", "spec.generate.bits"},
		"prefix chars": {"{prefix: 'a b'}", "spec.prefix"},
		"prefix start": {"{prefix: _a}", "spec.prefix"},
	} {
		object := &unstructured.Unstructured{}
		object.SetAPIVersion(api.GroupVersion().String())
		object.SetKind(api.Kind)
		object.SetNamespace("default")
		object.SetName("x")
		if row.spec == "" {
			row.spec = "{}"
			object.SetName(strings.Repeat("x", 64))
		}
		spec := map[string]any{}
		require.NoError(t, yaml.Unmarshal([]byte(row.spec), &spec))
		object.Object["spec"] = spec
		err = c.client.Create(t.Context(), object, client.DryRunAll,
			client.FieldValidation(meta.FieldValidationStrict))
		if assert.Error(t, err, name) {
			assert.Contains(t, err.Error(), row.want, name)
		}
	}
	c.apply(`
apiVersion: certquake.dev/v1alpha1
kind: RotatingSecret
metadata: {name: fixed, namespace: default}
spec: {secretName: a}
`)
	rs := c.rs("fixed")
	require.NoError(t, c.client.Get(t.Context(), client.ObjectKeyFromObject(rs), rs))
	assert.Equal(t, "Retain symmetric time counter", strings.Join([]string{
		rs.Spec.DeletionPolicy, rs.Spec.Generate.Kind, rs.Spec.Gate, rs.Spec.IDs,
	}, " "), "the defaults")
	rs.Spec.SecretName = "b"
	err = c.client.Update(t.Context(), rs)
	require.ErrorContains(t, err, "secretName is immutable")
	require.NoError(t, c.client.Delete(t.Context(), rs))
}
