package kube

import (
	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	rbac "k8s.io/api/rbac/v1"
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
