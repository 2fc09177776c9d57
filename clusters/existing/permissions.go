package existing

import (
	"context"
	"fmt"
	"strings"

	authorization "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/access"
	"github.com/certquake/certquake/clusters/kube"
	rotating "github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/harness"
)

// permitted returns an error that names everything a run needs and the account may not do.
func (c *cluster) permitted(ctx context.Context) error {
	var all []authorization.ResourceAttributes
	rotates := len(c.plan.World.RotatingSecrets) > 0
	for _, namespace := range c.namespaces {
		all = append(all, access.Requests(namespace, namespaceRules(namespace))...)
		if rotates {
			all = append(all, access.Requests(namespace, kube.RotationRules())...)
		}
	}
	clusterScoped := len(c.plan.World.ClusterIssuers) > 0
	if clusterScoped {
		all = append(all, access.Requests("", kube.ClusterRules())...)
	}
	if rotates {
		defined, err := c.definesRotation(ctx)
		if err != nil {
			return err
		}
		if !defined {
			clusterScoped = true
			all = append(all, access.Requests("", kube.DefinitionRules())...)
		}
	}
	words, err := access.Denied(ctx, c.client, all)
	if err != nil || len(words) == 0 {
		return err
	}
	return fmt.Errorf("%w: the account may not: %s; %s makes one that may", clusters.ErrBroken,
		strings.Join(words, ", "), rbacCommand(c.namespaces, clusterScoped, false))
}

// definesRotation reports whether the cluster knows RotatingSecrets. Its error is of one that does
// not, where the run may not teach it.
func (c *cluster) definesRotation(ctx context.Context) (bool, error) {
	err := c.ask(ctx, "/apis/"+rotating.GroupVersion().String(), &meta.APIResourceList{})
	switch {
	case err == nil:
		return true, nil
	case !apierrors.IsNotFound(err):
		return false, fmt.Errorf("%w: ask whether there are RotatingSecrets: %w",
			clusters.ErrBroken, err)
	case !c.settings.clusterScoped:
		return false, fmt.Errorf("%w: the cluster has no RotatingSecrets, and their definition "+
			"has no namespace: say --allow-cluster-scoped, or install it by `certquake rotator "+
			"crd | kubectl apply -f -`", harness.ErrUnsupported)
	}
	return false, nil
}
