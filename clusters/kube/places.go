package kube

import (
	"maps"
	"slices"
	"strings"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/scenarios"
)

// Namespaces returns the planned namespaces in which a run makes something, in alphabetical order.
func Namespaces(plan scenarios.Plan) []string {
	var names []string
	for i := range plan.World.Issuers {
		names = append(names, plan.World.Issuers[i].Namespace)
	}
	for i := range plan.World.Certificates {
		names = append(names, plan.World.Certificates[i].Namespace)
	}
	for i := range plan.World.RotatingSecrets {
		names = append(names, plan.World.RotatingSecrets[i].Namespace)
	}
	for _, consumer := range plan.Consumers() {
		names = append(names, consumer.Namespace)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// places knows which namespace of the cluster stands for which planned one. What is not in it
// stands for itself, so the zero value is of a cluster that is as planned.
type places struct {
	there   map[string]string // in the cluster, by planned namespace
	planned map[string]string // the other way round
}

// newPlaces returns the places of a plan on a cluster.
func newPlaces(plan scenarios.Plan, target *clusters.Target) places {
	if target.Namespace == nil {
		return places{}
	}
	p := places{there: map[string]string{}, planned: map[string]string{}}
	for _, name := range Namespaces(plan) {
		there := target.Namespace(name)
		p.there[name], p.planned[there] = there, name
	}
	return p
}

// watched returns the namespaces of the cluster that a run watches, [""] for all there are.
func (p places) watched() []string {
	if len(p.planned) == 0 {
		return []string{""}
	}
	return slices.Sorted(maps.Keys(p.planned))
}

// of returns the namespace that stands for a planned one.
func (p places) of(planned string) string {
	if there, known := p.there[planned]; known {
		return there
	}
	return planned
}

// split returns namespace and name in the cluster of what is planned as namespace/name.
func (p places) split(planned string) (namespace, name string) {
	namespace, name, _ = strings.Cut(planned, "/")
	return p.of(namespace), name
}

// join returns what a plan calls the object of a name in a namespace of the cluster.
func (p places) join(namespace, name string) string {
	if planned, known := p.planned[namespace]; known {
		namespace = planned
	}
	return namespace + "/" + name
}

// move returns a plan whose objects and workloads are in the namespaces of the cluster. Its names
// are for the API alone: what is recorded keeps those of the plan.
func (p places) move(plan scenarios.Plan) scenarios.Plan {
	plan.World.Issuers = slices.Clone(plan.World.Issuers)
	for i := range plan.World.Issuers {
		issuer := &plan.World.Issuers[i]
		issuer.Namespace = p.of(issuer.Namespace)
	}
	plan.World.Certificates = slices.Clone(plan.World.Certificates)
	for i := range plan.World.Certificates {
		certificate := &plan.World.Certificates[i]
		certificate.Namespace = p.of(certificate.Namespace)
	}
	plan.World.RotatingSecrets = slices.Clone(plan.World.RotatingSecrets)
	for i := range plan.World.RotatingSecrets {
		rotating := &plan.World.RotatingSecrets[i]
		rotating.Namespace = p.of(rotating.Namespace)
	}
	plan.Peers = slices.Clone(plan.Peers)
	for i := range plan.Peers {
		p.moveConsumer(&plan.Peers[i].Consumer)
	}
	plan.Tokens = slices.Clone(plan.Tokens)
	for i := range plan.Tokens {
		p.moveConsumer(&plan.Tokens[i].Consumer)
	}
	return plan
}

// moveConsumer has a workload be, and mount its Secret, in the namespaces of the cluster.
func (p places) moveConsumer(consumer *scenarios.Consumer) {
	if consumer.Secret != "" {
		namespace, secret := p.split(consumer.Secret)
		consumer.Secret = namespace + "/" + secret
	}
	consumer.Namespace = p.of(consumer.Namespace)
}
