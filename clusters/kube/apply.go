package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/e2e-framework/klient/k8s"

	"github.com/certquake/certquake/clusters"
	rotating "github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

const (
	// admitLimit bounds the wait for cert-manager's webhook to admit an object.
	admitLimit = 30 * time.Second
	// issueLimit bounds the wait for the first issuance of every Certificate.
	issueLimit = 60 * time.Second
	// readyLimit bounds the wait for all pods to be ready.
	readyLimit = 3 * time.Minute
	// sayEvery is how often long work tells how far it is.
	sayEvery = 5 * time.Second
	// insistEvery is the time between two attempts of what must succeed.
	insistEvery = 200 * time.Millisecond
)

// addTypes teaches a scheme the types of a scenario's objects.
func addTypes(scheme *runtime.Scheme) error {
	err := errors.Join(certmanager.AddToScheme(scheme), rotating.AddToScheme(scheme))
	if err != nil {
		return fmt.Errorf("the types of a scenario's objects: %w", err)
	}
	return nil
}

// applyManifests creates the scenario's own objects and waits until all of their Secrets exist.
func (w *world) applyManifests(ctx context.Context) error {
	objects := Manifests(w.plan, *w.target)
	if w.target.Namespace == nil { // else whoever chose them has made them
		if err := w.createNamespaces(ctx, objects); err != nil {
			return err
		}
	}
	for _, object := range objects {
		create := w.create
		if isDefinition(object) {
			create = w.define
		}
		if err := create(ctx, object); err != nil {
			return err
		}
	}
	if err := w.rotations(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, issueLimit)
	defer cancel()
	err := w.awaitSecrets(ctx, func() bool {
		for _, s := range w.ledger.secrets {
			if s.current() == nil {
				return false
			}
		}
		return true
	})
	if err != nil {
		return errors.Join(err, w.notIssued(), w.notRotated())
	}
	if n := len(w.plan.World.Certificates); n > 0 {
		harness.Say(ctx, "%d Certificates issued", n)
	}
	return nil
}

func (w *world) createNamespaces(ctx context.Context, objects []k8s.Object) error {
	made := map[string]bool{"": true}
	need := func(name string) error {
		if made[name] {
			return nil
		}
		made[name] = true
		err := w.client.Resources().Create(ctx, &corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{
				Name: name, Labels: runMarks(w.target.Run),
			},
		})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create namespace %s: %w", name, err)
		}
		return nil
	}
	for _, object := range objects {
		if err := need(object.GetNamespace()); err != nil {
			return err
		}
	}
	for _, consumer := range w.plan.Consumers() {
		if err := need(consumer.Namespace); err != nil {
			return err
		}
	}
	return nil
}

// create creates an object as soon as cert-manager's webhook lets it in.
func (w *world) create(ctx context.Context, object k8s.Object) error {
	ctx, cancel := context.WithTimeout(ctx, admitLimit)
	defer cancel()
	kind := object.GetObjectKind().GroupVersionKind().Kind
	err := insist(ctx, func() error { return w.client.Resources().Create(ctx, object) })
	if err != nil {
		return fmt.Errorf("create %s %s/%s: %w", kind, object.GetNamespace(), object.GetName(), err)
	}
	return nil
}

// insist repeats what fails because the API server or a webhook is away, until it succeeds, is
// refused, or ctx is done.
func insist(ctx context.Context, do func() error) error {
	for {
		err := do()
		if err == nil || refused(err) {
			return err
		}
		pause := time.NewTimer(insistEvery)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}

// refused reports whether the API server understood a request and will never grant it.
func refused(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsForbidden(err) ||
		apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err) || apierrors.IsUnauthorized(err)
}

// notIssued says why Certificates have no Secret yet.
func (w *world) notIssued() error {
	var problems []error
	for i := range w.plan.World.Certificates {
		planned := &w.plan.World.Certificates[i]
		if w.current(scenarios.SecretOf(planned)) != nil {
			continue
		}
		var object certmanager.Certificate
		err := w.client.Resources().Get(
			w.ctx, planned.Name, w.places.of(planned.Namespace), &object)
		said := "cert-manager has not looked at it"
		if err != nil {
			said = err.Error()
		}
		for _, c := range object.Status.Conditions {
			said = fmt.Sprintf("%s is %s: %s", c.Type, c.Status, c.Message)
		}
		problems = append(problems, fmt.Errorf("%w: Certificate %s was not issued within %s: %s",
			clusters.ErrBroken, scenarios.NameOf(planned), issueLimit, said))
	}
	return errors.Join(problems...)
}

// applyWorkloads creates the pods and waits until all of them are ready.
func (w *world) applyWorkloads(ctx context.Context) error {
	objects, err := Workloads(w.plan, *w.target)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err = w.create(ctx, object); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	said := time.Now()
	stuck := ""
	err = w.roster.await(ctx, func() bool {
		n := 0
		for _, pod := range w.plan.Pods {
			current := w.roster.pod(pod.Name)
			if ready(current) {
				n++
			} else if current != nil && hopeless(current) {
				stuck = pod.Name
			}
		}
		if time.Since(said) > sayEvery {
			said = time.Now()
			harness.Say(ctx, "%d of %d pods are ready", n, len(w.plan.Pods))
		}
		return n == len(w.plan.Pods) || stuck != ""
	})
	if err == nil && stuck == "" {
		harness.Say(ctx, "%d pods are ready", len(w.plan.Pods))
		if w.target.Spread {
			harness.Say(ctx, "%s", guestList(w.roster.whereabouts()))
		}
		return nil
	}
	return errors.Join(err, w.notReady()) //nolint:contextcheck // ctx may be why, and done
}

// hopeless reports whether waiting for a pod is of no use.
func hopeless(pod *corev1.Pod) bool {
	for _, s := range pod.Status.ContainerStatuses {
		waiting := s.State.Waiting
		if waiting == nil {
			continue
		}
		switch waiting.Reason {
		case "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError":
			return true
		}
	}
	return false
}

// notReady says of every pod that is not ready what state it is in, with its last log lines and
// events.
func (w *world) notReady() error {
	var problems []error
	for _, planned := range w.plan.Pods {
		pod := w.roster.pod(planned.Name)
		if ready(pod) {
			continue
		}
		said := "no such pod was made" + w.whyNone(planned.Name)
		if pod != nil {
			said = strings.Join(w.symptoms(pod), "\n  ")
		}
		problems = append(problems,
			fmt.Errorf("%w: pod %s is not ready: %s", clusters.ErrBroken, planned.Name, said))
		if len(problems) == 3 { // the others tell the same
			break
		}
	}
	return errors.Join(problems...)
}

// whyNone says why the cluster makes no pod, such as a quota of the namespace, if it tells.
func (w *world) whyNone(planned string) string {
	ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
	defer cancel()
	events, err := w.native.CoreV1().Events(w.namespace(planned)).List(ctx, metav1.ListOptions{
		FieldSelector: "reason=FailedCreate",
	})
	if err != nil {
		return ""
	}
	said := ""
	for _, event := range events.Items {
		if strings.HasPrefix(event.InvolvedObject.Name, planned+"-") { // its ReplicaSet
			said = ": " + event.Message
		}
	}
	return said
}

// symptoms returns what is known of a pod that is not ready, a line each.
func (w *world) symptoms(pod *corev1.Pod) []string {
	lines := []string{"it is " + string(pod.Status.Phase) + " on " + pod.Spec.NodeName}
	for _, s := range pod.Status.ContainerStatuses {
		if s.State.Waiting != nil {
			lines = append(lines, "waiting: "+s.State.Waiting.Reason+": "+s.State.Waiting.Message)
		}
		if ended := s.LastTerminationState.Terminated; ended != nil {
			lines = append(lines, fmt.Sprintf("its last process ended with exit code %d (%s)",
				ended.ExitCode, ended.Reason))
		}
	}
	ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
	defer cancel()
	events, err := w.native.CoreV1().Events(pod.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: "involvedObject.name=" + pod.Name,
	})
	if err == nil {
		for _, event := range events.Items[max(0, len(events.Items)-5):] {
			lines = append(lines, "event: "+event.Reason+": "+event.Message)
		}
	}
	for _, line := range w.roster.tail(pod.Labels[labelPod]) {
		lines = append(lines, "log: "+line)
	}
	return lines
}
