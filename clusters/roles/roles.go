// Package roles makes the RBAC objects of a service account, and YAML of objects for kubectl.
package roles

import (
	"bytes"
	"fmt"

	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

const (
	version         = rbac.GroupName + "/v1"
	roleKind        = "Role"
	clusterRoleKind = "ClusterRole"
)

// Account returns a service account.
func Account(namespace, name string) *core.ServiceAccount {
	return &core.ServiceAccount{
		TypeMeta:   meta.TypeMeta{APIVersion: "v1", Kind: rbac.ServiceAccountKind},
		ObjectMeta: meta.ObjectMeta{Name: name, Namespace: namespace},
	}
}

// In returns a role in a namespace, and its binding to the account, which may be in another one.
func In(
	namespace, name string, account *core.ServiceAccount, rules []rbac.PolicyRule,
) []runtime.Object {
	named := meta.ObjectMeta{Name: name, Namespace: namespace}
	return []runtime.Object{
		&rbac.Role{
			TypeMeta:   meta.TypeMeta{APIVersion: version, Kind: roleKind},
			ObjectMeta: named, Rules: rules,
		},
		&rbac.RoleBinding{
			TypeMeta:   meta.TypeMeta{APIVersion: version, Kind: "RoleBinding"},
			ObjectMeta: named, Subjects: []rbac.Subject{subject(account)},
			RoleRef: rbac.RoleRef{APIGroup: rbac.GroupName, Kind: roleKind, Name: name},
		},
	}
}

// Everywhere returns a role in all namespaces, and its binding to the account. Both are named after
// the account and its namespace, since others may have some.
func Everywhere(account *core.ServiceAccount, rules []rbac.PolicyRule) []runtime.Object {
	named := meta.ObjectMeta{Name: account.Namespace + ":" + account.Name}
	return []runtime.Object{
		&rbac.ClusterRole{
			TypeMeta:   meta.TypeMeta{APIVersion: version, Kind: clusterRoleKind},
			ObjectMeta: named, Rules: rules,
		},
		&rbac.ClusterRoleBinding{
			TypeMeta:   meta.TypeMeta{APIVersion: version, Kind: "ClusterRoleBinding"},
			ObjectMeta: named, Subjects: []rbac.Subject{subject(account)},
			RoleRef: rbac.RoleRef{
				APIGroup: rbac.GroupName, Kind: clusterRoleKind, Name: named.Name,
			},
		},
	}
}

func subject(account *core.ServiceAccount) rbac.Subject {
	return rbac.Subject{
		Kind: rbac.ServiceAccountKind, Name: account.Name, Namespace: account.Namespace,
	}
}

// YAML returns objects as YAML documents, without what is empty and the cluster's to say.
func YAML(objects []runtime.Object) ([]byte, error) {
	var out bytes.Buffer
	for _, object := range objects {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			return nil, fmt.Errorf("write YAML: %w", err)
		}
		delete(fields, "status")
		if spec, ok := fields["spec"].(map[string]any); ok && len(spec) == 0 {
			delete(fields, "spec")
		}
		text, err := yaml.Marshal(fields)
		if err != nil {
			return nil, fmt.Errorf("write YAML: %w", err)
		}
		out.WriteString("---\n")
		out.Write(text)
	}
	return out.Bytes(), nil
}
