package existing

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorization "k8s.io/api/authorization/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/kube"
)

// requests spells rules out: each thing that they let an account do, in a namespace or, with "", in
// all of the cluster.
func requests(namespace string, rules []rbac.PolicyRule) []authorization.ResourceAttributes {
	var all []authorization.ResourceAttributes
	for _, rule := range rules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, full := range rule.Resources {
			resource, sub, _ := strings.Cut(full, "/")
			for _, verb := range rule.Verbs {
				for _, name := range names {
					all = append(all, authorization.ResourceAttributes{
						Namespace: namespace, Verb: verb, Group: rule.APIGroups[0],
						Resource: resource, Subresource: sub, Name: name,
					})
				}
			}
		}
	}
	return all
}

// wording says what a request is for.
func wording(r authorization.ResourceAttributes) string {
	what := r.Resource
	if r.Group != "" {
		what += "." + r.Group
	}
	if r.Subresource != "" {
		what += "/" + r.Subresource
	}
	if r.Name != "" {
		what += " " + r.Name
	}
	if r.Namespace != "" && r.Resource != "namespaces" {
		what += " in namespace " + r.Namespace
	}
	return r.Verb + " " + what
}

// denied asks the API server which of the requests it would deny.
func denied(
	ctx context.Context, client kubernetes.Interface, all []authorization.ResourceAttributes,
) ([]string, error) {
	type answer struct {
		i       int
		allowed bool
		err     error
	}
	answers := make(chan answer, len(all))
	for i := range all {
		go func() {
			review := &authorization.SelfSubjectAccessReview{
				Spec: authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: &all[i]},
			}
			review, err := client.AuthorizationV1().SelfSubjectAccessReviews().
				Create(ctx, review, meta.CreateOptions{})
			answers <- answer{i, err == nil && review.Status.Allowed, err}
		}()
	}
	refused := make([]bool, len(all))
	var problem error
	for range all {
		got := <-answers
		refused[got.i] = !got.allowed
		if got.err != nil {
			problem = got.err
		}
	}
	if problem != nil {
		return nil, fmt.Errorf("ask what the account may do: %w", problem)
	}
	var words []string
	for i, r := range all {
		if refused[i] && !slices.Contains(words, wording(r)) {
			words = append(words, wording(r))
		}
	}
	return words, nil
}

// permitted returns an error that names everything a run needs and the account may not do.
func (c *cluster) permitted(ctx context.Context) error {
	var all []authorization.ResourceAttributes
	for _, namespace := range c.namespaces {
		all = append(all, requests(namespace, namespaceRules(namespace))...)
	}
	clusterScoped := len(c.plan.World.ClusterIssuers) > 0
	if clusterScoped {
		all = append(all, requests("", kube.ClusterRules())...)
	}
	words, err := denied(ctx, c.client, all)
	if err != nil || len(words) == 0 {
		return err
	}
	return fmt.Errorf("%w: the account may not: %s; %s makes one that may", clusters.ErrBroken,
		strings.Join(words, ", "), rbacCommand(c.namespaces, clusterScoped, false))
}
