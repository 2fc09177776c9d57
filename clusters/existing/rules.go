package existing

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/certquake/certquake/clusters/kube"
)

// certificateCRD is the definition of cert-manager's Certificates, which tells its version.
const certificateCRD = "certificates.cert-manager.io"

// ownRules returns what is done in each namespace beside what package kube does: keep looks at it,
// lock holds a Lease.
func ownRules(namespace string) []rbac.PolicyRule {
	leases := []string{coordination.GroupName}
	return []rbac.PolicyRule{
		{
			APIGroups: []string{""}, Resources: []string{"namespaces"},
			ResourceNames: []string{namespace}, Verbs: []string{"get"},
		},
		{APIGroups: leases, Resources: []string{"leases"}, Verbs: []string{"create"}},
		{
			APIGroups: leases, Resources: []string{"leases"}, ResourceNames: []string{leaseName},
			Verbs: []string{"get", "update", "delete"},
		},
	}
}

// namespaceRules returns everything that a run does in one of its namespaces.
func namespaceRules(namespace string) []rbac.PolicyRule {
	return append(ownRules(namespace), kube.Rules()...)
}

// versionRules let the version of cert-manager be told. A run can do without.
func versionRules() []rbac.PolicyRule {
	return []rbac.PolicyRule{{
		APIGroups: []string{"apiextensions.k8s.io"},
		Resources: []string{"customresourcedefinitions"}, ResourceNames: []string{certificateCRD},
		Verbs: []string{"get"},
	}}
}

// kubeletRules let the settings of kubelets be read. A run whose nodes have the defaults can do
// without, and whoever may read through nodes/proxy may do more with kubelets than read settings.
func kubeletRules() []rbac.PolicyRule {
	return []rbac.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"list"}},
		{APIGroups: []string{""}, Resources: []string{"nodes/proxy"}, Verbs: []string{"get"}},
	}
}

// rbacCommand returns the command that gives an account what it needs in the namespaces.
func rbacCommand(namespaces []string, clusterScoped, kubelets bool) string {
	words := []string{"certquake rbac"}
	for _, namespace := range namespaces {
		words = append(words, "--namespace "+namespace)
	}
	if clusterScoped {
		words = append(words, "--allow-cluster-scoped")
	}
	if kubelets {
		words = append(words, "--read-kubelets")
	}
	return "`" + strings.Join(append(words, "| kubectl apply -f -"), " ") + "`"
}

// RBAC returns the namespaces, a service account in the first of them, and the roles that a run
// with it needs, as YAML documents: with ClusterIssuers if they are allowed, and with reading the
// settings of kubelets if that is wanted. Without namespaces it is about the usual one.
func (b *Backend) RBAC(
	account string, namespaces []string, clusterScoped, kubelets bool,
) ([]byte, error) {
	if len(namespaces) == 0 {
		namespaces = []string{defaultNamespace}
	}
	for _, namespace := range namespaces {
		if err := checkNamespace(namespace); err != nil {
			return nil, err
		}
	}
	if said := validation.IsDNS1123Subdomain(account); len(said) > 0 {
		return nil, wrong("--service-account: none can be called %q: %s", account, said[0])
	}
	subject := rbac.Subject{
		Kind: rbac.ServiceAccountKind, Name: account, Namespace: namespaces[0],
	}
	var objects []runtime.Object
	for _, namespace := range namespaces {
		objects = append(objects, &core.Namespace{
			TypeMeta: meta.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
			// One that a killed run left stays from now on.
			ObjectMeta: meta.ObjectMeta{Name: namespace, Labels: kube.NoRunLabels()},
		})
	}
	objects = append(objects, &core.ServiceAccount{
		TypeMeta:   meta.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta: meta.ObjectMeta{Name: account, Namespace: namespaces[0]},
	})
	for _, namespace := range namespaces {
		objects = append(objects, roleIn(namespace, account, subject)...)
	}
	rules := versionRules()
	if clusterScoped {
		rules = append(rules, kube.ClusterRules()...)
	}
	if kubelets {
		rules = append(rules, kubeletRules()...)
	}
	return documents(append(objects, clusterRole(subject, rules)...))
}

const (
	rbacVersion     = rbac.GroupName + "/v1"
	roleKind        = "Role"
	clusterRoleKind = "ClusterRole"
)

func roleIn(namespace, name string, subject rbac.Subject) []runtime.Object {
	named := meta.ObjectMeta{Name: name, Namespace: namespace}
	return []runtime.Object{
		&rbac.Role{
			TypeMeta:   meta.TypeMeta{APIVersion: rbacVersion, Kind: roleKind},
			ObjectMeta: named, Rules: namespaceRules(namespace),
		},
		&rbac.RoleBinding{
			TypeMeta:   meta.TypeMeta{APIVersion: rbacVersion, Kind: "RoleBinding"},
			ObjectMeta: named, Subjects: []rbac.Subject{subject},
			RoleRef: rbac.RoleRef{APIGroup: rbac.GroupName, Kind: roleKind, Name: name},
		},
	}
}

// clusterRole names its objects after the account and its namespace, since others may have some.
func clusterRole(subject rbac.Subject, rules []rbac.PolicyRule) []runtime.Object {
	named := meta.ObjectMeta{Name: fmt.Sprintf("%s:%s", subject.Namespace, subject.Name)}
	return []runtime.Object{
		&rbac.ClusterRole{
			TypeMeta:   meta.TypeMeta{APIVersion: rbacVersion, Kind: clusterRoleKind},
			ObjectMeta: named, Rules: rules,
		},
		&rbac.ClusterRoleBinding{
			TypeMeta:   meta.TypeMeta{APIVersion: rbacVersion, Kind: "ClusterRoleBinding"},
			ObjectMeta: named, Subjects: []rbac.Subject{subject},
			RoleRef: rbac.RoleRef{
				APIGroup: rbac.GroupName, Kind: clusterRoleKind, Name: named.Name,
			},
		},
	}
}

// documents returns objects as YAML documents.
func documents(objects []runtime.Object) ([]byte, error) {
	var out bytes.Buffer
	for _, object := range objects {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			return nil, fmt.Errorf("write RBAC: %w", err)
		}
		for _, unsaid := range []string{"spec", "status"} { // empty, and the cluster's to say
			delete(fields, unsaid)
		}
		text, err := yaml.Marshal(fields)
		if err != nil {
			return nil, fmt.Errorf("write RBAC: %w", err)
		}
		out.WriteString("---\n")
		out.Write(text)
	}
	return slices.Clip(out.Bytes()), nil
}
