package existing

import (
	"strings"

	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/clusters/roles"
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

// namespaceRules returns everything that a run does in one of its namespaces, unless its scenario
// has RotatingSecrets.
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
// with it needs, as YAML documents: with ClusterIssuers and the definition of RotatingSecrets if
// they are allowed, and with reading the settings of kubelets if that is wanted. Without namespaces
// it is about the usual one.
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
	var objects []runtime.Object
	for _, namespace := range namespaces {
		objects = append(objects, &core.Namespace{
			TypeMeta: meta.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
			// One that a killed run left stays from now on.
			ObjectMeta: meta.ObjectMeta{Name: namespace, Labels: kube.NoRunLabels()},
		})
	}
	user := roles.Account(namespaces[0], account)
	objects = append(objects, user)
	for _, namespace := range namespaces {
		rules := append(namespaceRules(namespace), kube.RotationRules()...)
		objects = append(objects, roles.In(namespace, account, user, rules)...)
	}
	rules := versionRules()
	if clusterScoped {
		rules = append(rules, kube.ClusterRules()...)
		rules = append(rules, kube.DefinitionRules()...)
	}
	if kubelets {
		rules = append(rules, kubeletRules()...)
	}
	return roles.YAML(append(objects, roles.Everywhere(user, rules)...))
}
