package access

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorization "k8s.io/api/authorization/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Requests spells rules out: each thing that they let an account do, in a namespace or, with "", in
// all of the cluster.
func Requests(namespace string, rules []rbac.PolicyRule) []authorization.ResourceAttributes {
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

// Wording says what a request is for.
func Wording(r authorization.ResourceAttributes) string {
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

// Denied asks the API server which of the requests it would deny, and returns them in words.
func Denied(
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
		if refused[i] && !slices.Contains(words, Wording(r)) {
			words = append(words, Wording(r))
		}
	}
	return words, nil
}
