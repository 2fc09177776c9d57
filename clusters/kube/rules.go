package kube

import (
	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	rbac "k8s.io/api/rbac/v1"

	"github.com/certquake/certquake/clusters/rotator"
	rotating "github.com/certquake/certquake/clusters/rotator/api"
)

// Rules returns what a run does in each of its namespaces on a cluster that outlives it, in the
// order of the functions that do it.
func Rules() []rbac.PolicyRule {
	issuing := certmanager.SchemeGroupVersion.Group
	return []rbac.PolicyRule{
		// applyManifests, trigger and notIssued; broom.
		rule(issuing, "certificates", "get", "list", "create", "delete"),
		rule(issuing, "certificates/status", "update"),
		rule(issuing, "issuers", "list", "create", "delete"),
		rule(issuing, "certificaterequests", "list", "delete"),
		// watch, patch, removeSecrets and restoreSecrets; broom.
		rule("", "secrets", "list", "watch", "create", "patch", "delete"),
		// applyWorkloads and scale; broom.
		rule("", "services", "list", "create", "delete"),
		rule("apps", "deployments", "list", "create", "delete"),
		rule("apps", "deployments/scale", "update"),
		// watch, follower.read, post, askClock and symptoms.
		rule("", "pods", "list", "watch"),
		rule("", "pods/log", "get"),
		rule("", "pods/proxy", "get", "create"),
		rule("", "events", "list"),
	}
}

// RotationRules returns what a run does beside that, in each of its namespaces, of a scenario with
// RotatingSecrets: what its operator does, and what is done to the RotatingSecrets.
func RotationRules() []rbac.PolicyRule {
	return append(rotator.Rules(),
		// applyManifests; broom. The operator reads and patches them itself.
		rule(rotating.Group, "rotatingsecrets", "create", "delete"))
}

// DefinitionRules returns what a run does, beyond its namespaces, on a cluster that does not know
// RotatingSecrets: it teaches them to it, and takes that back if there is none left.
func DefinitionRules() []rbac.PolicyRule {
	return []rbac.PolicyRule{
		rule("apiextensions.k8s.io", "customresourcedefinitions", "create", "get", "delete"),
		rule(rotating.Group, "rotatingsecrets", "list"),
	}
}

// ClusterRules returns what a run does, beyond its namespaces, of a scenario with ClusterIssuers.
func ClusterRules() []rbac.PolicyRule {
	return []rbac.PolicyRule{
		rule(certmanager.SchemeGroupVersion.Group, "clusterissuers", "list", "create", "delete"),
	}
}

func rule(group, resource string, verbs ...string) rbac.PolicyRule {
	return rbac.PolicyRule{
		APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs,
	}
}
