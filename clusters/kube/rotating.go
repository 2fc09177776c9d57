package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/e2e-framework/klient/k8s"
	"sigs.k8s.io/yaml"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/kube/operator"
	"github.com/certquake/certquake/clusters/rotator"
	rotating "github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// serveLimit bounds the wait for the API server to serve a definition that was just created.
const serveLimit = 30 * time.Second

// operatorSubject is what the rows of faults of the operator are about.
const operatorSubject = "operator"

// definition returns the definition of RotatingSecrets, for a plan that has any.
func definition(plan scenarios.Plan) []k8s.Object {
	if len(plan.World.RotatingSecrets) == 0 {
		return nil
	}
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(rotator.CRD(), &object.Object); err != nil {
		panic(fmt.Sprintf("the definition of RotatingSecrets is no YAML: %v", err))
	}
	return []k8s.Object{object}
}

// isDefinition reports whether an object is that of definition.
func isDefinition(object k8s.Object) bool {
	_, loose := object.(*unstructured.Unstructured)
	return loose
}

// define has the API server serve RotatingSecrets. What is there already is used as it is.
func (w *world) define(ctx context.Context, object k8s.Object) error {
	ctx, cancel := context.WithTimeout(ctx, serveLimit)
	defer cancel()
	served, err := w.serves(ctx)
	if err != nil || served {
		return err
	}
	if err = w.create(ctx, object); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	w.defined = w.target.Shared
	ticker := time.NewTicker(insistEvery)
	defer ticker.Stop()
	for {
		if served, err = w.serves(ctx); err != nil || served {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: the definition of RotatingSecrets is not served: %w",
				clusters.ErrBroken, context.Cause(ctx))
		}
	}
}

// undefine takes the definition back that this run made on a cluster that outlives it, unless
// somebody uses it by now: all that is of it would go along.
func (w *world) undefine(ctx context.Context) error {
	if !w.defined {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearLimit)
	defer cancel()
	var left rotating.RotatingSecretList
	if err := w.client.Resources().List(ctx, &left); err != nil {
		return fmt.Errorf("%w: look for RotatingSecrets of others: %w", clusters.ErrBroken, err)
	}
	if len(left.Items) > 0 {
		harness.Say(ctx, "the definition of RotatingSecrets stays: there are %d of others",
			len(left.Items))
		return nil
	}
	for _, object := range definition(w.plan) {
		if err := w.removeDefinition(ctx, object); err != nil {
			return fmt.Errorf("%w: remove the definition of RotatingSecrets: %w; remove it by\n"+
				"  kubectl delete crd %s", clusters.ErrBroken, err, object.GetName())
		}
	}
	return nil
}

// removeDefinition removes the definition, if it is this run's, and returns when it is gone.
func (w *world) removeDefinition(ctx context.Context, object k8s.Object) error {
	ticker := time.NewTicker(insistEvery)
	defer ticker.Stop()
	for {
		there := &unstructured.Unstructured{}
		there.SetGroupVersionKind(object.GetObjectKind().GroupVersionKind())
		err := w.client.Resources().Get(ctx, object.GetName(), "", there)
		if err == nil && RunOf(there) == w.target.Run && there.GetDeletionTimestamp() == nil {
			err = w.client.Resources().Delete(ctx, there)
		}
		switch {
		case apierrors.IsNotFound(err), err == nil && RunOf(there) != w.target.Run:
			return nil
		case err != nil && refused(err):
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

// serves reports whether the API server knows RotatingSecrets.
func (w *world) serves(ctx context.Context) (bool, error) {
	var served metav1.APIResourceList
	err := w.native.Discovery().RESTClient().Get().
		AbsPath("/apis/" + rotating.GroupVersion().String()).Do(ctx).Into(&served)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask whether there are RotatingSecrets: %w", err)
	}
	return slices.ContainsFunc(served.APIResources,
		func(r metav1.APIResource) bool { return r.Kind == rotating.Kind }), nil
}

// rotations has the operator look after the plan's RotatingSecrets, if there are any.
func (w *world) rotations(ctx context.Context) error {
	if len(w.plan.World.RotatingSecrets) == 0 {
		return nil
	}
	if err := w.employ(ctx); err != nil {
		return fmt.Errorf("%w: %w", clusters.ErrBroken, err)
	}
	harness.Say(ctx, "an operator rotates %d Secrets", len(w.plan.World.RotatingSecrets))
	return nil
}

// employ starts an operator, unless there is one. One that ends by itself is replaced, as a cluster
// does with its own.
func (w *world) employ(ctx context.Context) error {
	w.staffing.Lock()
	defer w.staffing.Unlock()
	if w.operator != nil {
		return nil
	}
	var namespaces []string
	for i := range w.plan.World.RotatingSecrets {
		there := w.places.of(w.plan.World.RotatingSecrets[i].Namespace)
		if !slices.Contains(namespaces, there) {
			namespaces = append(namespaces, there)
		}
	}
	process, err := operator.Start(ctx, w.target.Config, namespaces)
	if err != nil {
		return err
	}
	w.operator = process
	w.tasks.Go(func() { w.supervise(process) })
	return nil
}

// supervise starts another operator when one ended by itself.
func (w *world) supervise(process *operator.Process) {
	select {
	case <-process.Ended():
	case <-w.ctx.Done():
		return
	}
	w.staffing.Lock()
	byItself := w.operator == process
	if byItself {
		w.operator = nil
	}
	w.staffing.Unlock()
	if !byItself {
		return
	}
	harness.Say(w.ctx, "starting the operator again: %v", process.Cause())
	if err := w.employ(w.ctx); err != nil && w.ctx.Err() == nil {
		harness.Say(w.ctx, "no keys are rotated any more: %v", err)
	}
}

// dismiss kills the operator, if there is one.
func (w *world) dismiss() bool {
	w.staffing.Lock()
	process := w.operator
	w.operator = nil
	w.staffing.Unlock()
	if process == nil {
		return false
	}
	process.Kill()
	return true
}

// stopOperator kills the operator. It is proved by the end of its process.
func (w *world) stopOperator(_ context.Context, action scenarios.Action) error {
	if w.dismiss() {
		w.ledger.prove(action.ID, operatorSubject, "no operator runs any more", time.Now())
	}
	return nil
}

// startOperator starts an operator again, which goes on from what the Secrets say.
func (w *world) startOperator(ctx context.Context, action scenarios.Action) error {
	if err := w.employ(ctx); err != nil {
		return err
	}
	w.ledger.prove(action.ID, operatorSubject, "an operator runs again", time.Now())
	return nil
}

// notRotated says why RotatingSecrets have no Secret yet.
func (w *world) notRotated() error {
	var problems []error
	for i := range w.plan.World.RotatingSecrets {
		planned := &w.plan.World.RotatingSecrets[i]
		secret := scenarios.RotatedBy(planned)
		if w.current(secret) != nil {
			continue
		}
		var object rotating.RotatingSecret
		err := w.client.Resources().Get(
			w.ctx, planned.Name, w.places.of(planned.Namespace), &object)
		said := "the operator has not looked at it"
		if err != nil {
			said = err.Error()
		}
		for _, c := range object.Status.Conditions {
			said = fmt.Sprintf("%s is %s: %s", c.Type, c.Status, c.Message)
		}
		problems = append(problems, fmt.Errorf("%w: no operator wrote Secret %s within %s: %s",
			clusters.ErrBroken, secret, issueLimit, said))
	}
	return errors.Join(problems...)
}
