package rotator

import (
	"context"
	"fmt"
	"slices"
	"time"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/workloads/rotation"
)

// release lets a RotatingSecret that is being deleted go, once no key in use goes with it. Nothing
// is rotated any more.
func (r *reconciler) release(
	ctx context.Context, rs *api.RotatingSecret,
) (time.Duration, error) {
	if !controllerutil.ContainsFinalizer(rs, Finalizer) {
		return 0, nil
	}
	note := "the Secret stays as it is"
	if rs.Spec.DeletionPolicy == api.Delete {
		v, problems, err := r.removeSecret(ctx, rs)
		if err != nil {
			return 0, err
		}
		if len(problems) > 0 {
			v.refuse(problems...)
			return r.poll, r.tell(ctx, v, *v.refusal)
		}
		note = "nobody uses the keys, and the Secret was removed"
	}
	before := rs.DeepCopy()
	controllerutil.RemoveFinalizer(rs, Finalizer)
	if err := r.patch(ctx, rs, before); err != nil {
		return 0, err
	}
	r.say(rs, nil, event{core.EventTypeNormal, "Released", "Delete", note})
	return 0, nil
}

// removeSecret removes the Secret, or says who keeps it from that. One of somebody else stays.
func (r *reconciler) removeSecret(
	ctx context.Context, rs *api.RotatingSecret,
) (*view, []rotation.Problem, error) {
	v := &view{rs: rs}
	var problems []rotation.Problem
	v.asked, problems = read(rs)
	if err := r.readSecret(ctx, v); err != nil {
		return v, nil, err
	}
	if v.secret == nil {
		return v, nil, nil
	}
	if len(problems) > 0 { // who uses the keys cannot be told
		return v, problems, nil
	}
	users, err := r.users(ctx, v)
	if err != nil || len(users) > 0 {
		return v, users, err
	}
	err = r.client.Delete(ctx, v.secret, client.Preconditions{
		UID: &v.secret.UID, ResourceVersion: &v.secret.ResourceVersion,
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return v, nil, fmt.Errorf("remove the Secret: %w", err)
	}
	return v, nil, nil
}

// users returns everybody who has a key of the Secret, or may have one.
func (r *reconciler) users(ctx context.Context, v *view) ([]rotation.Problem, error) {
	list := &core.PodList{}
	if err := r.client.List(ctx, list, client.InNamespace(v.rs.Namespace)); err != nil {
		return nil, fmt.Errorf("list pods that may use the Secret: %w", err)
	}
	var users []rotation.Problem
	uses := func(pod, what string) {
		users = append(users, rotation.Problem{
			Reason: KeyInUse, Path: "pod " + pod, What: what,
			Hint: "stop it, or set deletionPolicy to " + api.Retain,
		})
	}
	var ask []core.Pod
	for i := range list.Items {
		pod := &list.Items[i]
		switch {
		case pod.Status.Phase == core.PodSucceeded, pod.Status.Phase == core.PodFailed:
		case refers(pod, v.asked.secret):
			uses(pod.Name, "it mounts the Secret or has it in its environment")
		case consumes(pod) && v.asked.selects(pod):
			ask = append(ask, *pod)
		}
	}
	for _, a := range r.scraper.ask(ctx, ask, v.asked.ask, v.asked.secret) {
		switch {
		case a.err != nil:
			uses(a.consumer, "it does not tell whether it has a key: "+a.err.Error())
		case len(a.rings) > 0:
			uses(a.consumer, fmt.Sprintf("it has %v", a.rings[0].IDs))
		}
	}
	return users, nil
}

// selects reports whether a pod is among those to be asked.
func (a asked) selects(pod *core.Pod) bool {
	return a.ask != nil && a.ask.selector.Matches(labels.Set(pod.Labels))
}

// refers reports whether a pod has a Secret in a volume or in its environment.
func refers(pod *core.Pod, secret string) bool {
	for _, volume := range pod.Spec.Volumes {
		if volume.Secret != nil && volume.Secret.SecretName == secret {
			return true
		}
		if volume.Projected == nil {
			continue
		}
		for _, source := range volume.Projected.Sources {
			if source.Secret != nil && source.Secret.Name == secret {
				return true
			}
		}
	}
	return slices.ContainsFunc(
		slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers),
		func(c core.Container) bool { return inEnvironment(c, secret) },
	)
}

func inEnvironment(c core.Container, secret string) bool {
	return slices.ContainsFunc(c.Env, func(v core.EnvVar) bool {
		return v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil &&
			v.ValueFrom.SecretKeyRef.Name == secret
	}) || slices.ContainsFunc(c.EnvFrom, func(from core.EnvFromSource) bool {
		return from.SecretRef != nil && from.SecretRef.Name == secret
	})
}
