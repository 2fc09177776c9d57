package rotator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"

	"github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/rotation"
)

const (
	namespace = "shop"
	minute    = time.Minute
)

// start is when tests begin.
var start = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

// kill is what becomes of the operator at one of its writes.
type kill int

const (
	live   kill = iota
	before      // it dies, and nothing was written
	after       // it dies once everything was written
)

var errDead = errors.New("the operator was killed")

// world is a cluster with one RotatingSecret, and everybody in it but the operator.
type world struct {
	t        *testing.T
	now      time.Time
	server   client.WithWatch // what the API server has
	operator *reconciler
	events   []string
	pods     map[string]*pod
	poll     time.Duration

	fate   func(write int) kill
	meddle func(write int) // does something right before a write of the operator
	judge  func(deed string)
	deny   map[string]error // deeds that the API server does not take
	writes []string         // that the operator tried
	did    map[string]bool  // everything that it may have needed permission for
	dead   bool

	random  *rand.ChaCha8
	ids     []string // of keys, in the order of their appearance
	keys    map[string]string
	history []string // the rings that there were
	jobs    []string // names of the Jobs that there were
}

// newWorld has a RotatingSecret jwt with a spec in YAML.
func newWorld(t *testing.T, spec string) *world {
	t.Helper()
	scheme, err := newScheme()
	require.NoError(t, err)
	rs := &api.RotatingSecret{ObjectMeta: meta.ObjectMeta{
		Namespace: namespace, Name: "jwt", UID: "uid-1", Generation: 1,
	}}
	require.NoError(t, yaml.UnmarshalStrict([]byte(spec), &rs.Spec))
	w := &world{
		t: t, now: start, pods: map[string]*pod{}, poll: minute,
		did: map[string]bool{}, keys: map[string]string{}, random: rand.NewChaCha8([32]byte{1}),
		fate: func(int) kill { return live }, meddle: func(int) {},
		server: fake.NewClientBuilder().WithScheme(scheme).WithObjects(rs).
			WithStatusSubresource(&api.RotatingSecret{}, &batch.Job{}).Build(),
	}
	w.judge = func(deed string) {
		if w.lookAtJobs(); strings.HasSuffix(deed, " Secret") {
			w.look()
		}
	}
	w.operator = w.newOperator()
	return w
}

// newOperator starts an operator that knows nothing of earlier ones.
func (w *world) newOperator() *reconciler {
	w.t.Helper()
	shown, err := newMetrics(prometheus.NewRegistry())
	require.NoError(w.t, err)
	return &reconciler{
		client: w.watched(), events: recorder{w}, now: func() time.Time { return w.now },
		random: w.random, scraper: newScraper(func() time.Time { return w.now }, nil),
		metrics: shown, poll: w.poll,
	}
}

type recorder struct{ w *world }

func (r recorder) Eventf(_, _ runtime.Object, kind, reason, _, note string, args ...any) {
	r.w.events = append(r.w.events, kind+" "+reason+" "+fmt.Sprintf(note, args...))
}

// watched is the operator's way to the API server.
func (w *world) watched() client.Client {
	return interceptor.NewClient(w.server, interceptor.Funcs{
		Get: func(
			ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object,
			opts ...client.GetOption,
		) error {
			return w.read("get", o, func() error { return c.Get(ctx, key, o, opts...) })
		},
		List: func(
			ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption,
		) error {
			return w.read("list", l, func() error { return c.List(ctx, l, opts...) })
		},
		Create: func(
			ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption,
		) error {
			return w.write("create", o, func() error { return c.Create(ctx, o, opts...) })
		},
		Update: func(
			ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption,
		) error {
			return w.write("update", o, func() error { return c.Update(ctx, o, opts...) })
		},
		Patch: func(
			ctx context.Context, c client.WithWatch, o client.Object, p client.Patch,
			opts ...client.PatchOption,
		) error {
			return w.write("patch", o, func() error { return c.Patch(ctx, o, p, opts...) })
		},
		Delete: func(
			ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption,
		) error {
			return w.write("delete", o, func() error { return c.Delete(ctx, o, opts...) })
		},
		SubResourceUpdate: func(
			ctx context.Context, c client.Client, sub string, o client.Object,
			opts ...client.SubResourceUpdateOption,
		) error {
			return w.write("update "+sub, o, func() error {
				return c.SubResource(sub).Update(ctx, o, opts...)
			})
		},
	})
}

func (w *world) doing(verb string, o runtime.Object) string {
	w.t.Helper()
	kind, err := apiutil.GVKForObject(o, w.server.Scheme())
	require.NoError(w.t, err)
	deed := verb + " " + strings.TrimSuffix(kind.Kind, "List")
	w.did[deed] = true
	return deed
}

func (w *world) read(verb string, o runtime.Object, do func() error) error {
	w.doing(verb, o)
	if w.dead {
		return errDead
	}
	return do()
}

// write does a write of the operator, unless that dies of it, and looks at what became of the keys.
func (w *world) write(verb string, o runtime.Object, do func() error) error {
	deed := w.doing(verb, o)
	if w.dead {
		return errDead
	}
	at := len(w.writes)
	w.writes = append(w.writes, deed)
	w.meddle(at)
	if err := w.deny[deed]; err != nil {
		return err
	}
	fate := w.fate(at)
	if fate == before {
		w.dead = true
		return errDead
	}
	err := do()
	w.judge(deed)
	if fate == after {
		w.dead = true
		return errDead
	}
	return err
}

// look holds what the operator left against everything that was there before.
func (w *world) look() {
	w.t.Helper()
	secret := w.secret()
	if secret == nil {
		return
	}
	ring, problems := rotation.ReadRing(rotation.Names(secret.Data))
	assert.Empty(w.t, problems)
	var shown []string
	for _, id := range ring.IDs {
		if !slices.Contains(w.ids, id) {
			w.ids = append(w.ids, id)
		}
		var material strings.Builder
		for _, name := range rotation.Names(secret.Data) {
			if strings.HasPrefix(name, id+".") {
				material.Write(secret.Data[name])
			}
		}
		if old, ok := w.keys[id]; ok {
			assert.Equal(w.t, old, material.String(), "the key %s is another one", id)
		}
		w.keys[id] = material.String()
		star := ""
		if id == ring.Primary {
			star = "*"
		}
		shown = append(shown, "k"+strconv.Itoa(slices.Index(w.ids, id)+1)+star)
	}
	slices.Sort(shown)
	now := strings.Join(shown, " ")
	if len(w.history) == 0 || w.history[len(w.history)-1] != now {
		w.history = append(w.history, now)
	}
}

// lookAtJobs sees to it that one migration runs at most.
func (w *world) lookAtJobs() {
	w.t.Helper()
	running := 0
	for _, job := range w.listJobs() {
		if !slices.Contains(w.jobs, job.Name) {
			w.jobs = append(w.jobs, job.Name)
			state, err := rotation.ParseState(w.secret().Annotations[StateAnnotation])
			require.NoError(w.t, err)
			assert.Equal(w.t, rotation.Migrating, state.Phase, "it is known before it begins")
		}
		if !ended(&job) {
			running++
		}
	}
	assert.LessOrEqual(w.t, running, 1, "migrations run beside each other")
}

func (w *world) listJobs() []batch.Job {
	w.t.Helper()
	list := &batch.JobList{}
	require.NoError(w.t, w.server.List(w.t.Context(), list, client.InNamespace(namespace)))
	return list.Items
}

// secret returns the Secret, or nil.
func (w *world) secret() *core.Secret {
	w.t.Helper()
	secret := &core.Secret{}
	err := w.server.Get(w.t.Context(), at("jwt"), secret)
	if apierrors.IsNotFound(err) {
		return nil
	}
	require.NoError(w.t, err)
	return secret
}

func at(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// rs returns the RotatingSecret, or nil.
func (w *world) rs() *api.RotatingSecret {
	w.t.Helper()
	rs := &api.RotatingSecret{}
	err := w.server.Get(w.t.Context(), at("jwt"), rs)
	if apierrors.IsNotFound(err) {
		return nil
	}
	require.NoError(w.t, err)
	return rs
}

// change changes the RotatingSecret as a person does.
func (w *world) change(to func(*api.RotatingSecretSpec)) {
	w.t.Helper()
	rs := w.rs()
	to(&rs.Spec)
	rs.Generation++
	require.NoError(w.t, w.server.Update(w.t.Context(), rs))
}

// edit changes the Secret as a person does.
func (w *world) edit(to func(*core.Secret)) {
	w.t.Helper()
	secret := w.secret()
	to(secret)
	require.NoError(w.t, w.server.Update(w.t.Context(), secret))
}

// reconcile lets the operator look once. One that died is followed by a new one.
func (w *world) reconcile() time.Duration {
	w.t.Helper()
	result, err := w.operator.Reconcile(w.t.Context(), reconcile.Request{NamespacedName: at("jwt")})
	if w.dead {
		w.dead, w.operator = false, w.newOperator()
		return time.Second
	}
	require.NoError(w.t, err)
	return result.RequeueAfter
}

// until lets time pass, to an offset from the start.
func (w *world) until(offset time.Duration) {
	w.t.Helper()
	const looksMax = 2000
	end := start.Add(offset)
	for range looksMax {
		wait := w.reconcile()
		w.work()
		if w.rs() == nil {
			return
		}
		require.Positive(w.t, wait, "nothing would happen any more")
		if w.now.Add(wait).After(end) {
			w.now = end
			return
		}
		w.now = w.now.Add(wait)
	}
	require.Fail(w.t, "no end of looking")
}

// work has migrations done.
func (w *world) work() {
	w.t.Helper()
	for _, job := range w.listJobs() {
		if job.Annotations["outcome"] != "" && !ended(&job) {
			w.end(&job, batch.JobConditionType(job.Annotations["outcome"]))
		}
	}
}

func (w *world) end(job *batch.Job, how batch.JobConditionType) {
	w.t.Helper()
	job.Status.Conditions = []batch.JobCondition{{Type: how, Status: core.ConditionTrue}}
	require.NoError(w.t, w.server.Status().Update(w.t.Context(), job))
}

// condition returns a condition of the RotatingSecret as "True Reason".
func (w *world) condition(kind rotation.ConditionType) string {
	w.t.Helper()
	c := apimeta.FindStatusCondition(w.rs().Status.Conditions, string(kind))
	require.NotNil(w.t, c)
	return string(c.Status) + " " + c.Reason
}

// message is of the condition Halted.
func (w *world) message() string {
	w.t.Helper()
	c := apimeta.FindStatusCondition(w.rs().Status.Conditions, string(rotation.Halted))
	require.NotNil(w.t, c)
	return c.Message
}

// pod is a consumer that reads the Secret by package keyring, and exports what it has.
type pod struct {
	there func() *core.Secret
	lock  sync.Mutex
	stuck map[string][]byte // what it has when it does not read any more
	dumb  bool              // it tells nothing
}

// consumer starts one.
func (w *world) consumer(name string, labels map[string]string) *pod {
	w.t.Helper()
	p := &pod{there: w.secret}
	server := httptest.NewServer(p)
	w.t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	require.NoError(w.t, err)
	port, err := strconv.Atoi(address.Port())
	require.NoError(w.t, err)
	w.pods[name] = p
	require.NoError(w.t, w.server.Create(w.t.Context(), &core.Pod{
		ObjectMeta: meta.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec: core.PodSpec{NodeName: "n1", Containers: []core.Container{{
			Name: "c", Ports: []core.ContainerPort{
				{Name: "metrics", ContainerPort: int32(port)},
			},
		}}},
		Status: core.PodStatus{Phase: core.PodRunning, PodIP: address.Hostname()},
	}))
	return p
}

// stick has a consumer keep what it has now, and read has it go on.
func (p *pod) stick() {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.stuck = maps.Clone(p.there().Data)
}

func (p *pod) read() {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.stuck, p.dumb = nil, false
}

func (p *pod) hush() {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.dumb = true
}

// ServeHTTP serves metrics with what is in the Secret now, or what was when it got stuck.
func (p *pod) ServeHTTP(out http.ResponseWriter, request *http.Request) {
	p.lock.Lock()
	files, dumb := p.stuck, p.dumb
	p.lock.Unlock()
	if files == nil {
		if secret := p.there(); secret != nil {
			files = secret.Data
		}
	}
	folder := fstest.MapFS{}
	for name, data := range files {
		folder[name] = &fstest.MapFile{Data: data}
	}
	registry := prometheus.NewRegistry()
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: keyring.MetricInfo, Help: "The keys in use.",
	}, []string{keyring.SecretLabel, keyring.PrimaryLabel, keyring.IDsLabel})
	registry.MustRegister(info)
	ring, err := keyring.New(folder, keyring.Settings{}).Ring()
	if err == nil && !dumb {
		info.With(ring.MetricLabels("jwt")).Set(1)
	}
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(out, request)
}
