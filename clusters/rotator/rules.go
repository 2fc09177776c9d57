package rotator

import (
	"bytes"
	_ "embed" // the definition
	"errors"
	"fmt"
	"slices"

	batch "k8s.io/api/batch/v1"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	events "k8s.io/api/events/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/certquake/certquake/clusters/rotator/api"
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

const (
	rbacVersion     = rbac.GroupName + "/v1"
	roleKind        = "Role"
	clusterRoleKind = "ClusterRole"
)

// errNamespace is of an account that would be nowhere.
var errNamespace = errors.New("say in which namespace the operator runs")

// RBAC returns the service account of an operator that runs in a namespace, and its roles for the
// namespaces it looks after, or for all, as YAML documents.
func RBAC(namespace string, namespaces []string) ([]byte, error) {
	if namespace == "" {
		return nil, errNamespace
	}
	subject := rbac.Subject{Kind: rbac.ServiceAccountKind, Name: name, Namespace: namespace}
	objects := []runtime.Object{&core.ServiceAccount{
		TypeMeta:   meta.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta: meta.ObjectMeta{Name: name, Namespace: namespace},
	}}
	objects = append(objects, role(namespace, name+"-leader", subject, LeaseRules())...)
	for _, watched := range namespaces {
		objects = append(objects, role(watched, name, subject, Rules())...)
	}
	if len(namespaces) == 0 {
		objects = append(objects, clusterRole(subject, Rules())...)
	}
	return documents(objects)
}

func role(
	namespace, name string, subject rbac.Subject, rules []rbac.PolicyRule,
) []runtime.Object {
	at := meta.ObjectMeta{Name: name, Namespace: namespace}
	return []runtime.Object{
		&rbac.Role{
			TypeMeta:   meta.TypeMeta{APIVersion: rbacVersion, Kind: roleKind},
			ObjectMeta: at, Rules: rules,
		},
		&rbac.RoleBinding{
			TypeMeta:   meta.TypeMeta{APIVersion: rbacVersion, Kind: "RoleBinding"},
			ObjectMeta: at, Subjects: []rbac.Subject{subject},
			RoleRef: rbac.RoleRef{APIGroup: rbac.GroupName, Kind: roleKind, Name: name},
		},
	}
}

func clusterRole(subject rbac.Subject, rules []rbac.PolicyRule) []runtime.Object {
	at := meta.ObjectMeta{Name: subject.Namespace + ":" + subject.Name}
	return []runtime.Object{
		&rbac.ClusterRole{
			TypeMeta:   meta.TypeMeta{APIVersion: rbacVersion, Kind: clusterRoleKind},
			ObjectMeta: at, Rules: rules,
		},
		&rbac.ClusterRoleBinding{
			TypeMeta:   meta.TypeMeta{APIVersion: rbacVersion, Kind: "ClusterRoleBinding"},
			ObjectMeta: at, Subjects: []rbac.Subject{subject},
			RoleRef: rbac.RoleRef{
				APIGroup: rbac.GroupName, Kind: clusterRoleKind, Name: at.Name,
			},
		},
	}
}

// documents returns objects as YAML documents.
func documents(objects []runtime.Object) ([]byte, error) {
	var out bytes.Buffer
	for _, object := range objects {
		text, err := yaml.Marshal(object)
		if err != nil {
			return nil, fmt.Errorf("write RBAC: %w", err)
		}
		out.WriteString("---\n")
		out.Write(text)
	}
	return out.Bytes(), nil
}
