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
	"github.com/certquake/certquake/clusters/access"
	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/harness"
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
				c.left = append(c.left, owned{namespace, kube.RunOf(object)}) // else it stays
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
	return access.Denied(ctx, c.client, all)
}

// owned is a namespace that a run made.
type owned struct {
	name string
	run  string // that made it, as its label says
}

func (c *cluster) makeNamespace(ctx context.Context, namespace string) error {
	c.own = append(c.own, owned{namespace, c.run}) // though its answer may be cut off
	_, err := c.client.CoreV1().Namespaces().Create(ctx, &core.Namespace{
		ObjectMeta: meta.ObjectMeta{Name: namespace, Labels: kube.RunLabels(c.run)},
	}, meta.CreateOptions{})
	if err != nil {
		return fmt.Errorf("%w: create namespace %s: %w", clusters.ErrBroken, namespace, err)
	}
	return nil
}

// removeNamespaces removes the namespaces that the run made, or took over, and waits until they are
// gone. What the cluster takes longer for is left to it: the namespaces are empty then.
func (c *cluster) removeNamespaces(ctx context.Context) error {
	left := slices.Clone(c.own)
	problems := map[string]error{}
	for {
		left = slices.DeleteFunc(left, func(one owned) bool {
			gone, err := c.removeNamespace(ctx, one)
			if err == nil {
				delete(problems, one.name)
			} else if ctx.Err() == nil || problems[one.name] == nil {
				problems[one.name] = err
			}
			return gone
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
			return unremoved(ctx, left, problems)
		}
	}
}

// unremoved returns an error that names those of the namespaces that the cluster did not begin to
// remove, and tells of the others.
func unremoved(ctx context.Context, left []owned, problems map[string]error) error {
	var all []error
	for _, one := range left {
		problem := problems[one.name]
		if errors.Is(problem, errGoing) {
			harness.Say(ctx, "the cluster goes on to remove namespace %s", one.name)
			continue
		}
		if problem == nil {
			problem = ctx.Err()
		}
		all = append(all, fmt.Errorf("%w: left in the cluster: namespace %s: %w; remove it by\n  "+
			"kubectl delete namespace %s", clusters.ErrBroken, one.name, problem, one.name))
	}
	return errors.Join(all...)
}

// errGoing is why a namespace is still there that the cluster removes.
var errGoing = errors.New("it is being removed")

// removeNamespace begins to remove a namespace and reports whether it is gone, or somebody else's
// by now: of a run that took it over, since this one gave no sign of life.
func (c *cluster) removeNamespace(ctx context.Context, one owned) (gone bool, err error) {
	namespaces := c.client.CoreV1().Namespaces()
	object, err := namespaces.Get(ctx, one.name, meta.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return false, err
	case object.DeletionTimestamp != nil:
		return false, errGoing
	case kube.RunOf(object) != one.run:
		return true, nil
	}
	lease, err := c.client.CoordinationV1().Leases(one.name).Get(ctx, leaseName, meta.GetOptions{})
	if err == nil && holderOf(lease) != c.run {
		return true, nil
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return false, err
	}
	err = namespaces.Delete(ctx, one.name, meta.DeleteOptions{
		Preconditions: meta.NewUIDPreconditions(string(object.UID)),
	})
	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case apierrors.IsConflict(err):
		return false, nil // it changed meanwhile: it is looked at again
	case err == nil:
		return false, errGoing
	}
	return false, err
}
