package rotator

import (
	_ "embed" // the definition
	"errors"
	"fmt"
	"slices"

	batch "k8s.io/api/batch/v1"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	events "k8s.io/api/events/v1"
	rbac "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/certquake/certquake/clusters/roles"
	"github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/harness"
)

//go:embed config/crd/certquake.dev_rotatingsecrets.yaml
var definition []byte

// CRD returns the definition of RotatingSecrets as YAML.
func CRD() []byte { return slices.Clone(definition) }

// Rules returns what the operator does in each namespace that it looks after.
func Rules() []rbac.PolicyRule {
	const resource = "rotatingsecrets"
	return []rbac.PolicyRule{
		rule(api.Group, resource, "get", "list", "watch", "patch"),
		rule(api.Group, resource+"/status", "update"),
		// For Jobs that keep their owner from being removed before them.
		rule(api.Group, resource+"/finalizers", "update"),
		rule(core.GroupName, "secrets", "get", "list", "watch", "create", "update", "delete"),
		rule(core.GroupName, "pods", "list"),
		rule(batch.GroupName, "jobs", "list", "watch", "create", "delete"),
		rule(events.GroupName, "events", "create", "patch"),
	}
}

// LeaseRules returns what the operator does beside that in its own namespace, to be the only one.
func LeaseRules() []rbac.PolicyRule {
	lease := rule(coordination.GroupName, "leases", "get", "update")
	lease.ResourceNames = []string{name}
	return []rbac.PolicyRule{
		rule(coordination.GroupName, "leases", "create"),
		lease,
		rule(core.GroupName, "events", "create", "patch"), // of the election
	}
}

func rule(group, resource string, verbs ...string) rbac.PolicyRule {
	return rbac.PolicyRule{
		APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs,
	}
}

// errNamespace is of an account that would be nowhere.
var errNamespace = fmt.Errorf("%w: --namespace is missing: say in which namespace the operator "+
	"runs", harness.ErrSettings)

// checkPlaces gathers what is wrong with the namespaces of an operator.
func checkPlaces(namespace string, watched []string) error {
	if namespace == "" {
		return errNamespace
	}
	problems := []error{checkNamespace(namespace)}
	for _, name := range watched {
		problems = append(problems, checkNamespace(name))
	}
	return errors.Join(problems...)
}

// RBAC returns the service account of an operator that runs in a namespace, and its roles for the
// namespaces it looks after, or for all, as YAML documents. Errors wrap harness.ErrSettings.
func RBAC(namespace string, namespaces []string) ([]byte, error) {
	if err := checkPlaces(namespace, namespaces); err != nil {
		return nil, err
	}
	return roles.YAML(permissions(namespace, namespaces))
}

// permissions returns the account and its roles.
func permissions(namespace string, namespaces []string) []runtime.Object {
	account := roles.Account(namespace, name)
	objects := []runtime.Object{account}
	objects = append(objects, roles.In(namespace, name+"-leader", account, LeaseRules())...)
	for _, watched := range namespaces {
		objects = append(objects, roles.In(watched, name, account, Rules())...)
	}
	if len(namespaces) == 0 {
		objects = append(objects, roles.Everywhere(account, Rules())...)
	}
	return objects
}
