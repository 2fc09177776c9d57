package existing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	authorization "k8s.io/api/authorization/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/kube"
)

// removeEvery is the time between two looks at a namespace that is being removed.
const removeEvery = 300 * time.Millisecond

// findNamespaces finds out which of the run's namespaces are there, and whether the others may be
// made. One that a run made is noted, to be removed in the end if that run was killed.
func (c *cluster) findNamespaces(ctx context.Context) error {
	var problems []error
	for _, namespace := range c.namespaces {
		object, err := c.client.CoreV1().Namespaces().Get(ctx, namespace, meta.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			c.absent = append(c.absent, namespace)
		case err != nil:
			problems = append(problems, fmt.Errorf("%w: look at namespace %s: %w",
				clusters.ErrBroken, namespace, err))
		case object.DeletionTimestamp != nil:
			problems = append(problems, fmt.Errorf("%w: namespace %s is being deleted: wait until "+
				"it is gone, or choose another --namespace", clusters.ErrBroken, namespace))
		case kube.RunOf(object) != "":
			var mayNot []string
			mayNot, err = c.mayNotMake(ctx, []string{namespace})
			if problems = append(problems, err); len(mayNot) == 0 {
				c.left = append(c.left, namespace) // else it stays
			}
		}
	}
	mayNot, err := c.mayNotMake(ctx, c.absent)
	if len(mayNot) > 0 {
		err = fmt.Errorf("%w: there is no namespace %s, and the account may not: %s; %s makes it",
			clusters.ErrBroken, strings.Join(c.absent, ", "), strings.Join(mayNot, ", "),
			rbacCommand(c.namespaces, len(c.plan.World.ClusterIssuers) > 0, false))
	}
	return errors.Join(append(problems, err)...)
}

// mayNotMake returns what the account may not do of making and removing the namespaces.
func (c *cluster) mayNotMake(ctx context.Context, namespaces []string) ([]string, error) {
	var all []authorization.ResourceAttributes
	for _, namespace := range namespaces {
		for _, verb := range []string{"create", "delete"} {
			all = append(all, authorization.ResourceAttributes{
				Verb: verb, Resource: "namespaces", Name: namespace,
			})
		}
	}
	return denied(ctx, c.client, all)
}

func (c *cluster) makeNamespace(ctx context.Context, namespace string) error {
	_, err := c.client.CoreV1().Namespaces().Create(ctx, &core.Namespace{
		ObjectMeta: meta.ObjectMeta{Name: namespace, Labels: kube.RunLabels(c.run)},
	}, meta.CreateOptions{})
	if err != nil {
		return fmt.Errorf("%w: create namespace %s: %w", clusters.ErrBroken, namespace, err)
	}
	c.own = append(c.own, namespace)
	return nil
}

// removeNamespaces removes the namespaces that the run made, or took over, and waits until they are
// gone.
func (c *cluster) removeNamespaces(ctx context.Context) error {
	left := slices.Clone(c.own)
	namespaces := c.client.CoreV1().Namespaces()
	var problem error
	for {
		left = slices.DeleteFunc(left, func(namespace string) bool {
			err := namespaces.Delete(ctx, namespace, meta.DeleteOptions{})
			if apierrors.IsNotFound(err) {
				return true
			}
			if err != nil && !apierrors.IsConflict(err) { // it is on its way
				problem = err
			}
			return false
		})
		if len(left) == 0 {
			c.own = nil
			return nil
		}
		pause := time.NewTimer(removeEvery)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			if problem == nil {
				problem = ctx.Err()
			}
			return fmt.Errorf("%w: left in the cluster: namespace %s: %w; remove it by\n  "+
				"kubectl delete namespace %s", clusters.ErrBroken, strings.Join(left, ", "),
				problem, strings.Join(left, " "))
		}
	}
}
