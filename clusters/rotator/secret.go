package rotator

import (
	"context"
	"fmt"
	"maps"
	"time"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/certquake/certquake/workloads/rotation"
)

// readSecret reads the keys and what is remembered beside them.
func (r *reconciler) readSecret(ctx context.Context, v *view) error {
	secret := &core.Secret{}
	at := client.ObjectKey{Namespace: v.rs.Namespace, Name: v.asked.secret}
	if err := r.client.Get(ctx, at, secret); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("read the Secret: %w", err)
	}
	if owner := secret.Labels[Label]; owner != v.rs.Name {
		what := "the Secret is there already"
		if owner != "" {
			what = "the Secret is of RotatingSecret " + owner
		}
		v.refuse(rotation.Problem{
			Reason: NotHandedOver, Path: secret.Name, What: what,
			Hint: fmt.Sprintf("to hand it over, label it %s=%s", Label, v.rs.Name),
		})
		return nil
	}
	v.secret = secret
	v.remember(secret.Annotations)
	if secret.Immutable != nil && *secret.Immutable {
		v.refuse(rotation.Problem{
			Reason: Immutable, Path: secret.Name, What: "the Secret is immutable",
			Hint: "replace it by one that is not",
		})
	}
	return nil
}

// remember reads the State, unless there is none.
func (v *view) remember(annotations map[string]string) {
	text, ok := annotations[StateAnnotation]
	if !ok {
		return
	}
	state, err := rotation.ParseState(text)
	if err != nil {
		v.refuse(rotation.Problem{
			Reason: rotation.InvalidState, Path: StateAnnotation, What: err.Error(),
			Hint: "put it back, or remove the annotation to go on from the keys as they are",
		})
		return
	}
	v.state = &state
}

// files returns what the Secret holds.
func (v *view) files() map[string][]byte {
	if v.secret == nil {
		return nil
	}
	return v.secret.Data
}

// write takes one step: keys and State in one write, of the very Secret that was decided on. When
// it fails, nothing happened, or all of it did and the next look will tell.
func (r *reconciler) write(
	ctx context.Context, v *view, d rotation.Decision,
) (time.Duration, error) {
	result, err := rotation.Apply(d, v.files(), rotation.Source{Random: r.random})
	if err != nil {
		return 0, fmt.Errorf("make the keys: %w", err)
	}
	secret := v.secret.DeepCopy()
	if secret == nil {
		secret = &core.Secret{
			ObjectMeta: named(v.rs, v.asked.secret), Type: core.SecretTypeOpaque,
		}
		secret.Labels = map[string]string{Label: v.rs.Name}
	}
	secret.Data = result.Files
	secret.Annotations = maps.Clone(secret.Annotations)
	if secret.Annotations == nil {
		secret.Annotations = map[string]string{}
	}
	secret.Annotations[StateAnnotation] = result.State.String()
	if v.secret == nil {
		err = r.client.Create(ctx, secret)
	} else {
		err = r.client.Update(ctx, secret)
	}
	if err != nil {
		was := rotation.State{}
		if v.state != nil {
			was = *v.state
		}
		return r.refused(ctx, v, was, secret.Name, fmt.Errorf("write the Secret: %w", err))
	}
	v.secret, v.state = secret, &result.State
	d.Next = result.State
	r.taken(v, d)
	if v.rs.Status.Managed {
		return soon, nil // where the next step is shown, or what it waits for
	}
	return soon, r.tell(ctx, v, d) // that there are keys must not be forgotten
}
