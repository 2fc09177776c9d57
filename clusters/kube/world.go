package kube

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/e2e-framework/klient"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/kube/operator"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/peer"
)

const (
	// lead is how far in the future offset 0 lies when pods are told of it. Until then, kubelets
	// are done with the syncs that a pod's first minutes bring about.
	lead = 3 * time.Second
	// tick is how often Sleep looks at what has come in.
	tick = 100 * time.Millisecond
	// heldBack is how long rows wait for others that ended before them.
	heldBack = 2 * time.Second
	// beginLimit bounds the telling of offset 0.
	beginLimit = 20 * time.Second
	// drainLimit bounds the wait for the last rows.
	drainLimit = attemptDeadline + 5*time.Second
)

// world is one cluster that a plan is performed in. It implements harness.World.
type world struct {
	plan   scenarios.Plan
	target *clusters.Target
	sink   record.Sink
	client klient.Client
	native kubernetes.Interface
	ledger *ledger
	roster *roster
	places places
	clocks clocks
	base   time.Time

	skips func(scenarios.Action) string // says why an action is not performed; nil if all are
	broom *broom                        // of a cluster that is Shared, else nil

	ctx    context.Context //nolint:containedctx // of everything that goes on beside the calls
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	watching sync.Mutex
	unwatch  func() // ends the watches, after cancel; nil before there are any

	mu      sync.Mutex
	queues  map[int]chan scenarios.Action // by fault
	seen    chan struct{}                 // closed and replaced at each write of a Secret
	skews   map[string]time.Duration      // by planned pod
	holding map[string]bool               // planned nodes whose kubelet is held
	unended []scenarios.Action            // that others are to end, and have not
	// unspoilt has what Secrets of keys held before they were edited.
	unspoilt map[string]*content

	staffing sync.Mutex
	operator *operator.Process // that rotates keys; nil while there is none
	defined  bool              // this run made the definition of RotatingSecrets
}

// Open implements harness.Backend: it brings a cluster up, applies the scenario's manifests, starts
// its pods and returns once all of them are ready and know when offset 0 is.
func (b *Backend) Open(
	ctx context.Context, plan scenarios.Plan, sink record.Sink,
) (harness.World, error) {
	target, err := b.provider.Up(ctx, plan)
	if err != nil {
		return nil, err
	}
	w, err := newWorld(ctx, plan, target, sink)
	if err != nil {
		return nil, errors.Join(err, down(ctx, target))
	}
	if b.provider.Partial {
		w.skips = b.impossible
	}
	if err := w.open(ctx); err != nil {
		return nil, errors.Join(w.explain(err), w.leave(ctx))
	}
	return w, nil
}

// explain marks an error as the cluster's, unless the run was interrupted.
func (w *world) explain(err error) error {
	if errors.Is(err, clusters.ErrBroken) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: %w", clusters.ErrBroken, err)
}

// down takes a cluster down although ctx may be done.
func down(ctx context.Context, target *clusters.Target) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	return target.Down(ctx)
}

func newWorld(
	ctx context.Context, plan scenarios.Plan, target *clusters.Target, sink record.Sink,
) (*world, error) {
	if target.Shared && target.Run == "" {
		lent := *target
		lent.Run = NewRun()
		target = &lent
	}
	config := rest.CopyConfig(target.Config)
	config.QPS, config.Burst = 500, 1000 // one harness must not wait for itself
	client, err := klient.New(config)
	if err != nil {
		return nil, fmt.Errorf("%w: client: %w", clusters.ErrBroken, err)
	}
	native, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("%w: client: %w", clusters.ErrBroken, err)
	}
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w := &world{
		plan: plan, target: target, sink: sink, client: client, native: native,
		ledger: newLedger(plan), places: newPlaces(plan, target), ctx: inner, cancel: cancel,
		queues: map[int]chan scenarios.Action{}, seen: make(chan struct{}),
		skews: map[string]time.Duration{}, holding: map[string]bool{},
		unspoilt: map[string]*content{},
	}
	w.roster = newRoster(inner, native, w.ledger)
	if target.Shared {
		if w.broom, err = newBroom(config, plan, target); err != nil {
			return nil, err
		}
	}
	return w, addTypes(client.Resources().GetScheme())
}

// open brings the world to offset 0.
func (w *world) open(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		select {
		case <-w.target.Broken:
			stop(w.broken())
		case <-ctx.Done():
		}
	}()
	err := w.openSteps(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

func (w *world) openSteps(ctx context.Context) error {
	if w.broom != nil {
		if err := w.broom.makeRoom(ctx, w.plan, *w.target); err != nil {
			return err
		}
	}
	if err := w.watch(ctx); err != nil {
		return err
	}
	if err := w.applyManifests(ctx); err != nil {
		return err
	}
	if err := w.applyWorkloads(ctx); err != nil {
		return err
	}
	return w.begin(ctx)
}

// broken returns why the cluster ended by itself.
func (w *world) broken() error {
	cause := w.target.Cause()
	if errors.Is(cause, clusters.ErrBroken) {
		return cause
	}
	return fmt.Errorf("%w: %w", clusters.ErrBroken, cause)
}

// watch begins to follow Secrets and pods, in place of whoever followed them before: a watch that
// broke with the API server comes back up to half a minute after it.
func (w *world) watch(ctx context.Context) error {
	w.watching.Lock()
	defer w.watching.Unlock()
	again := w.unwatch != nil
	if again {
		w.unwatch()
	}
	inner, cancel := context.WithCancel(w.ctx)
	var all []watched
	for _, namespace := range w.places.watched() {
		one, err := w.watchNamespace(namespace)
		if err != nil {
			cancel()
			return err
		}
		all = append(all, one)
	}
	w.unwatch = func() {
		cancel()
		for _, one := range all {
			one.secrets.Shutdown()
			one.pods.Shutdown()
		}
	}
	for _, one := range all {
		for _, factory := range []informers.SharedInformerFactory{one.secrets, one.pods} {
			factory.Start(inner.Done())
			for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
				if !synced {
					return fmt.Errorf("%w: no list of %s arrives", clusters.ErrBroken, kind)
				}
			}
		}
	}
	if !again {
		return nil
	}
	return w.missed(all)
}

// watched is what is followed in one namespace, or in all of a cluster that is the run's alone.
type watched struct {
	secrets, pods informers.SharedInformerFactory
}

// watchNamespace prepares to follow the Secrets and pods of a namespace, "" for all.
func (w *world) watchNamespace(namespace string) (watched, error) {
	within := informers.WithNamespace(namespace)
	one := watched{
		secrets: informers.NewSharedInformerFactoryWithOptions(w.native, 0, within),
		pods: informers.NewSharedInformerFactoryWithOptions(w.native, 0, within,
			informers.WithTweakListOptions(func(o *metav1.ListOptions) {
				o.LabelSelector = labels.FormatLabels(runMarks(w.target.Run))
			})),
	}
	_, err := one.secrets.Core().V1().Secrets().Informer().AddEventHandler(handler(
		func(s *corev1.Secret) { w.sawSecret(w.places.join(s.Namespace, s.Name), s) },
		func(s *corev1.Secret) { w.sawSecret(w.places.join(s.Namespace, s.Name), nil) }))
	if err != nil {
		return one, fmt.Errorf("watch Secrets: %w", err)
	}
	_, err = one.pods.Core().V1().Pods().Informer().AddEventHandler(
		handler(w.roster.saw, w.roster.lost))
	if err != nil {
		return one, fmt.Errorf("watch pods: %w", err)
	}
	return one, nil
}

// missed takes note of what was deleted while nobody watched.
func (w *world) missed(all []watched) error {
	exists := map[string]bool{}
	var running []*corev1.Pod
	for _, one := range all {
		held, err := one.secrets.Core().V1().Secrets().Lister().List(labels.Everything())
		if err != nil {
			return fmt.Errorf("list Secrets: %w", err)
		}
		for _, s := range held {
			exists[w.places.join(s.Namespace, s.Name)] = true
		}
		pods, err := one.pods.Core().V1().Pods().Lister().List(labels.Everything())
		if err != nil {
			return fmt.Errorf("list pods: %w", err)
		}
		running = append(running, pods...)
	}
	for name := range w.ledger.secrets {
		if !exists[name] {
			w.sawSecret(name, nil)
		}
	}
	w.roster.only(running)
	return nil
}

// handler returns a handler of one type of objects, which changed or are gone.
func handler[T any](changed, gone func(T)) cache.ResourceEventHandler {
	take := func(take func(T), object any) {
		if missed, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = missed.Obj
		}
		if typed, ok := object.(T); ok {
			take(typed)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { take(changed, object) },
		UpdateFunc: func(_, object any) { take(changed, object) },
		DeleteFunc: func(object any) { take(gone, object) },
	}
}

// sawSecret takes note of a Secret, nil when it is gone.
func (w *world) sawSecret(name string, object *corev1.Secret) {
	c := w.ledger.saw(name, object, time.Now())
	if c == nil {
		return
	}
	w.keepTrust(name)
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.seen)
	w.seen = make(chan struct{})
}

// begin chooses offset 0 and tells every pod.
func (w *world) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, beginLimit)
	defer cancel()
	zero := time.Now() // of the clock that nodes' are compared with, and that base is read on
	compared := w.compareClocks(ctx, zero, clockPatience)
	w.base = zero.Add(time.Since(zero) + lead)
	problems := make(chan error, len(w.plan.Pods))
	for _, pod := range w.plan.Pods {
		go func() {
			_, err := w.roster.tell(ctx, pod.Name, peer.PathBegin,
				peer.Begin{Base: w.beginOf(ctx, pod.Name), Fresh: true})
			problems <- err
		}()
	}
	var all []error
	for range w.plan.Pods {
		all = append(all, <-problems)
	}
	if err := errors.Join(all...); err != nil {
		return fmt.Errorf("%w: %w", clusters.ErrBroken, err)
	}
	if late := time.Since(w.base); late > 0 {
		return fmt.Errorf("%w: telling %d pods when to begin took %s too long",
			clusters.ErrBroken, len(w.plan.Pods), late.Round(time.Millisecond))
	}
	w.ledger.begin(w.base)
	w.ledger.unlike(w.target.Unlike)
	if w.target.Spread {
		w.ledger.placed(w.roster.whereabouts())
	}
	w.ledger.compared(0, compared)
	w.roster.greet(w.welcome)
	return w.wait(ctx, w.base)
}

// welcome tells a pod that began to run after offset 0 when that was.
func (w *world) welcome(planned string) {
	w.mu.Lock()
	skew := w.skews[planned]
	w.mu.Unlock()
	// Whoever waits for the pod sees that it never starts; there is no one to tell here.
	_, _ = w.roster.tell(w.ctx, planned, peer.PathBegin,
		peer.Begin{Base: w.beginOf(w.ctx, planned), Skew: skew})
}

// Sleep implements harness.World.
func (w *world) Sleep(ctx context.Context, until time.Duration) error {
	return w.wait(ctx, w.base.Add(until))
}

// wait records what comes in until the instant.
func (w *world) wait(ctx context.Context, until time.Time) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		if err := w.record(time.Now().Add(-heldBack), false); err != nil {
			return err
		}
		if !time.Now().Before(until) {
			return nil
		}
		select {
		case <-ticker.C:
		case <-w.target.Broken:
			return w.broken()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// record writes what ended up to the instant; with final everything that is known.
func (w *world) record(until time.Time, final bool) error {
	w.ledger.sweep(time.Now(), w.readable, final)
	end := until.Sub(w.base)
	if final {
		end = w.plan.Horizon
	}
	return w.ledger.flush(end, w.sink)
}

// readable reports whether words of a planned pod arrive as it speaks.
func (w *world) readable(planned string) bool {
	if w.roster.pod(planned) == nil {
		return true // it is gone, and its log was read to the end
	}
	w.mu.Lock()
	held := w.holding[w.ledger.lanes[planned].pod.Node]
	w.mu.Unlock()
	return !held && w.roster.readable(planned)
}

// Close implements harness.World.
func (w *world) Close(ctx context.Context) error {
	reached := min(time.Since(w.base), w.plan.Horizon)
	w.drain(ctx, reached)
	w.ledger.compared(reached, w.compareClocks(ctx, w.base, clockLimit))
	w.ledger.close(reached)
	err := w.record(time.Now(), true)
	left := w.leave(ctx)
	if err == nil && left != nil {
		return fmt.Errorf("%w: %w", harness.ErrLeft, left)
	}
	return errors.Join(err, left)
}

// drain waits until every row of the run has arrived.
func (w *world) drain(ctx context.Context, reached time.Duration) {
	limit := drainLimit
	if reached < w.plan.Horizon {
		limit = 2 * time.Second // interrupted: what arrives at once is enough
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	w.putBack(ctx)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for !w.ledger.complete() {
		w.ledger.sweep(time.Now(), w.readable, false)
		select {
		case <-ticker.C:
		case <-w.target.Broken:
			return
		case <-ctx.Done():
			return
		}
	}
}

// leave ends everything that Open began.
func (w *world) leave(ctx context.Context) error {
	w.cancel()
	w.dismiss()
	var left error
	if w.broom != nil {
		w.rest() // so that nothing is made behind the broom
		left = errors.Join(w.broom.clear(ctx), w.undefine(ctx))
	}
	err := down(ctx, w.target)
	w.rest()
	return errors.Join(left, err)
}

// rest waits until nothing goes on any more, after cancel.
func (w *world) rest() {
	w.watching.Lock()
	if w.unwatch != nil {
		w.unwatch() // nothing is begun after the last that is seen
	}
	w.watching.Unlock()
	w.tasks.Wait()
	w.roster.tasks.Wait()
}
