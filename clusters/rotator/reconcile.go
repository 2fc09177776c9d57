package rotator

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/go-logr/logr"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/workloads/rotation"
)

// The reasons to halt that are the operator's own.
const (
	// NotHandedOver is of a Secret without Label, or with another's name in it.
	NotHandedOver rotation.Reason = "NotHandedOver"
	// Immutable is of a Secret that nobody can rotate.
	Immutable rotation.Reason = "Immutable"
	// Refused is of a write that the API server does not take, now or later.
	Refused rotation.Reason = "Refused"
	// KeyInUse is of a RotatingSecret that is being deleted.
	KeyInUse rotation.Reason = "KeyInUse"
)

const (
	// soon is when to look again after a write of one's own, and calmly after somebody else's.
	soon   = 10 * time.Millisecond
	calmly = time.Second
	// lookMax is the longest time between two looks, since clocks are set and machines sleep.
	lookMax = time.Hour
)

// reconciler does what RotatingSecrets ask for. It keeps nothing between two calls.
type reconciler struct {
	client  client.Client // of the API server itself: a cache would tell of the past
	events  events.EventRecorder
	now     func() time.Time
	random  io.Reader
	scraper *scraper
	metrics *metrics
	poll    time.Duration
	log     logr.Logger
}

// Reconcile takes the next step of a rotation, if there is one to take.
func (r *reconciler) Reconcile(
	ctx context.Context, request reconcile.Request,
) (reconcile.Result, error) {
	rs := &api.RotatingSecret{}
	if err := r.client.Get(ctx, request.NamespacedName, rs); err != nil {
		if apierrors.IsNotFound(err) {
			r.metrics.forget(request.NamespacedName)
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("read the RotatingSecret: %w", err)
	}
	again, err := r.reconcile(ctx, rs)
	if err == nil {
		return reconcile.Result{RequeueAfter: again}, nil
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
		// Somebody else wrote. What was decided was decided on something else: decide anew.
		return reconcile.Result{RequeueAfter: calmly}, nil
	}
	return reconcile.Result{}, err
}

// reconcile returns when to look again at the latest, 0 being never.
func (r *reconciler) reconcile(
	ctx context.Context, rs *api.RotatingSecret,
) (time.Duration, error) {
	if !rs.DeletionTimestamp.IsZero() {
		return r.release(ctx, rs)
	}
	if err := r.hold(ctx, rs); err != nil {
		return 0, err
	}
	v, err := r.look(ctx, rs)
	if err != nil {
		return 0, err
	}
	d := v.decide(r.now())
	if d.Write {
		return r.write(ctx, v, d)
	}
	if err := r.stopOthers(ctx, v); err != nil {
		return 0, err
	}
	if d.Action == rotation.Migrate {
		if err := r.migrate(ctx, v, d); err != nil {
			return r.refused(ctx, v, d.Next, "spec.migration.jobTemplate", err)
		}
	}
	return r.again(v, d), r.tell(ctx, v, d)
}

// hold puts the finalizer on, before there is anything to lose.
func (r *reconciler) hold(ctx context.Context, rs *api.RotatingSecret) error {
	before := rs.DeepCopy()
	if !controllerutil.AddFinalizer(rs, Finalizer) {
		return nil
	}
	return r.patch(ctx, rs, before)
}

// patch writes what changed in the metadata. A patch keeps fields that this version does not know.
func (r *reconciler) patch(ctx context.Context, rs, before *api.RotatingSecret) error {
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.client.Patch(ctx, rs, patch); err != nil {
		return fmt.Errorf("write the finalizers: %w", err)
	}
	return nil
}

// view is all that one reconciliation looks at.
type view struct {
	rs      *api.RotatingSecret
	asked   asked
	secret  *core.Secret // nil when there is none
	state   *rotation.State
	jobs    []batch.Job
	answers []answer
	refusal *rotation.Decision // when nothing is to be decided
}

// look reads everything.
func (r *reconciler) look(ctx context.Context, rs *api.RotatingSecret) (*view, error) {
	v := &view{rs: rs}
	var problems []rotation.Problem
	if v.asked, problems = read(rs); len(problems) > 0 {
		v.refuse(problems...)
		return v, nil
	}
	if err := r.readSecret(ctx, v); err != nil || v.refusal != nil {
		return v, err
	}
	steady := v.state != nil && v.state.Phase == rotation.Steady
	if v.asked.job != nil || !steady {
		if err := r.readJobs(ctx, v); err != nil {
			return v, err
		}
	}
	if v.asked.ask == nil || v.secret == nil || steady {
		return v, nil
	}
	pods, err := r.consumers(ctx, rs.Namespace, v.asked.ask)
	if err != nil {
		return v, err
	}
	v.answers = r.scraper.ask(ctx, pods, v.asked.ask, v.asked.secret)
	return v, nil
}

// refuse has a view end in a halt on problems.
func (v *view) refuse(problems ...rotation.Problem) {
	v.refusal = &rotation.Decision{
		Action: rotation.Halt, Reason: problems[0].Reason, Problems: problems,
	}
	if v.state != nil {
		v.refusal.Next = *v.state
	}
}

// consumers lists the pods to ask.
func (r *reconciler) consumers(
	ctx context.Context, namespace string, e *endpoint,
) ([]core.Pod, error) {
	list := &core.PodList{}
	err := r.client.List(ctx, list, client.InNamespace(namespace),
		client.MatchingLabelsSelector{Selector: e.selector})
	if err != nil {
		return nil, fmt.Errorf("list the consumers: %w", err)
	}
	var pods []core.Pod
	for i := range list.Items {
		if consumes(&list.Items[i]) {
			pods = append(pods, list.Items[i])
		}
	}
	return pods, nil
}

// decide asks what to do now.
func (v *view) decide(now time.Time) rotation.Decision {
	if v.refusal != nil {
		return *v.refusal
	}
	orders := v.rs.Spec.Orders
	return rotation.Decide(rotation.Input{
		Spec: v.asked.rotation, Names: rotation.Names(v.files()), State: v.state,
		Managed: v.rs.Status.Managed,
		Orders: rotation.Orders{
			Rotate: orders.Rotate, Reject: orders.Reject, Resume: orders.Resume,
		},
		Uptake: reports(v.answers), Migration: v.migration(), Now: now,
	})
}

// again returns when to look again. Consumers tell nothing by themselves, so they are asked for as
// long as a rotation is under way.
func (r *reconciler) again(v *view, d rotation.Decision) time.Duration {
	wait := lookMax
	if !d.Until.IsZero() {
		wait = min(wait, max(d.Until.Sub(r.now()), soon))
	}
	if v.refusal == nil && v.asked.ask != nil && d.Next.Phase != rotation.Steady {
		wait = min(wait, r.poll)
	}
	if d.Action == rotation.Migrate {
		wait = min(wait, r.poll) // an earlier Job may still have to stop
	}
	return wait
}

// refused shows a write that the API server does not take. Other errors are returned as they are.
func (r *reconciler) refused(
	ctx context.Context, v *view, state rotation.State, path string, err error,
) (time.Duration, error) {
	if !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) && !apierrors.IsBadRequest(err) &&
		!apierrors.IsRequestEntityTooLargeError(err) {
		return 0, err
	}
	d := rotation.Decision{
		Action: rotation.Halt, Reason: Refused, Next: state,
		Problems: []rotation.Problem{{Reason: Refused, Path: path, What: err.Error()}},
	}
	return r.poll, r.tell(ctx, v, d)
}

// key names the RotatingSecret.
func (v *view) key() client.ObjectKey { return client.ObjectKeyFromObject(v.rs) }

// named is the metadata of an object in the namespace of a RotatingSecret.
func named(rs *api.RotatingSecret, name string) meta.ObjectMeta {
	return meta.ObjectMeta{Namespace: rs.Namespace, Name: name}
}
