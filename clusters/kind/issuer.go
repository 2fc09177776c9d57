package kind

import (
	"context"
	"fmt"
	"time"

	autoscaling "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// The bounds of cert-manager's parts being stopped and started; the API server may be away.
const (
	scaleMax   = 2 * time.Minute
	scaleEvery = 100 * time.Millisecond
)

// stopIssuer performs scenarios.StopIssuer.
func (c *cluster) stopIssuer(ctx context.Context) (string, error) {
	if err := c.scale(ctx, 0, controllerName, injectorName); err != nil {
		return "", err
	}
	return "no pod of cert-manager's controller and CA injector is left", nil
}

// startIssuer performs scenarios.StartIssuer.
func (c *cluster) startIssuer(ctx context.Context) (string, error) {
	if err := c.scale(ctx, 1, controllerName, injectorName); err != nil {
		return "", err
	}
	return "cert-manager's controller and CA injector run", nil
}

// stopWebhook performs scenarios.StopWebhook.
func (c *cluster) stopWebhook(ctx context.Context) (string, error) {
	if err := c.scale(ctx, 0, webhookName); err != nil {
		return "", err
	}
	err := until(ctx, "wait for the webhook to be missed", scaleEvery, scaleMax,
		func(ctx context.Context) (bool, error) {
			problem := c.admits(ctx)
			if apierrors.IsInternalError(problem) {
				return true, nil
			}
			return false, problem
		})
	if err != nil {
		return "", err
	}
	return "no pod of cert-manager's webhook is left, and the API server refuses a Certificate " +
		"for want of it", nil
}

// startWebhook performs scenarios.StartWebhook.
func (c *cluster) startWebhook(ctx context.Context) (string, error) {
	if err := c.scale(ctx, 1, webhookName); err != nil {
		return "", err
	}
	err := until(ctx, "wait for the webhook to admit a Certificate", scaleEvery, scaleMax,
		func(ctx context.Context) (bool, error) {
			err := c.admits(ctx)
			return err == nil, err
		})
	if err != nil {
		return "", err
	}
	return "cert-manager's webhook admits a Certificate", nil
}

// scale gives Deployments of cert-manager's no or one pod, and waits until it is gone or ready.
func (c *cluster) scale(ctx context.Context, replicas int32, names ...string) error {
	deployments := c.client.AppsV1().Deployments(managerNamespace)
	for _, name := range names {
		err := until(ctx, "scale "+name, scaleEvery, scaleMax,
			func(ctx context.Context) (bool, error) {
				_, err := deployments.UpdateScale(ctx, name, &autoscaling.Scale{
					ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: managerNamespace},
					Spec:       autoscaling.ScaleSpec{Replicas: replicas},
				}, metav1.UpdateOptions{})
				return err == nil, err
			})
		if err != nil {
			return err
		}
	}
	for _, name := range names {
		err := until(ctx, fmt.Sprintf("wait for %s to have %d pods", name, replicas), scaleEvery,
			scaleMax, func(ctx context.Context) (bool, error) {
				if replicas == 0 {
					return c.podless(ctx, name)
				}
				now, err := deployments.Get(ctx, name, metav1.GetOptions{})
				return err == nil && now.Status.ObservedGeneration >= now.Generation &&
					now.Status.ReadyReplicas == replicas, err
			})
		if err != nil {
			return err
		}
	}
	return nil
}

// podless reports whether no pod of a Deployment is left.
func (c *cluster) podless(ctx context.Context, name string) (bool, error) {
	now, err := c.client.AppsV1().Deployments(managerNamespace).Get(ctx, name,
		metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	pods, err := c.client.CoreV1().Pods(managerNamespace).List(ctx, metav1.ListOptions{
		LabelSelector: labels.SelectorFromSet(now.Spec.Selector.MatchLabels).String(),
	})
	return err == nil && len(pods.Items) == 0, err
}
