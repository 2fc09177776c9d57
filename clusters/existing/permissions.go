package existing

import (
	"context"
	"fmt"
	"strings"

	authorization "k8s.io/api/authorization/v1"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/access"
	"github.com/certquake/certquake/clusters/kube"
)

// permitted returns an error that names everything a run needs and the account may not do.
func (c *cluster) permitted(ctx context.Context) error {
	var all []authorization.ResourceAttributes
	for _, namespace := range c.namespaces {
		all = append(all, access.Requests(namespace, namespaceRules(namespace))...)
	}
	clusterScoped := len(c.plan.World.ClusterIssuers) > 0
	if clusterScoped {
		all = append(all, access.Requests("", kube.ClusterRules())...)
	}
	words, err := access.Denied(ctx, c.client, all)
	if err != nil || len(words) == 0 {
		return err
	}
	return fmt.Errorf("%w: the account may not: %s; %s makes one that may", clusters.ErrBroken,
		strings.Join(words, ", "), rbacCommand(c.namespaces, clusterScoped, false))
}
