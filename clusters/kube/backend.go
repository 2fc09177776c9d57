// Package kube performs plans on a Kubernetes cluster in wall time: it applies the scenario's
// manifests, runs its workloads as pods, does faults to the real objects and collects what the pods
// record.
//
// New makes a harness.Backend of anything that brings a clusters.Target up. What is modelled in the
// simulator is observed here: a row of the record is something that a pod did or that was seen at
// the API.
package kube

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// Provider brings one kind of cluster up.
type Provider struct {
	Name  string           // what --backend takes
	Image string           // of the workload program, unless a Target says otherwise
	Verbs []scenarios.Verb // that its Targets perform
	// Partial is set when actions that the Targets cannot perform are left out instead of refused.
	Partial bool
	// Sketch returns what Up's Target will be, as far as objects depend on it. When nil, the
	// cluster has Image and the planned nodes.
	Sketch func(scenarios.Plan) clusters.Target
	// Check returns what the cluster cannot be, joined, before anything starts. Its errors wrap
	// harness.ErrUnsupported. It may be nil.
	Check func(scenarios.Plan) error
	// Up brings a cluster up for the plan. It tells what it does by harness.Say.
	Up func(context.Context, scenarios.Plan) (*clusters.Target, error)
}

// Backend performs plans on clusters of one kind. It implements harness.Backend.
type Backend struct{ provider Provider }

// New returns a backend on the clusters that the provider brings up.
func New(provider Provider) *Backend { return &Backend{provider} }

// Name returns the backend's name.
func (b *Backend) Name() string { return b.provider.Name }

// Basis returns record.Measured: latencies are those of real connections.
func (b *Backend) Basis() record.Basis { return record.Measured }

// Render returns everything that a run of the plan applies, as YAML documents.
func (b *Backend) Render(plan scenarios.Plan) ([]byte, error) {
	if b.provider.Sketch != nil {
		return Render(plan, b.provider.Sketch(plan))
	}
	target := clusters.Target{Image: b.provider.Image, Nodes: map[string]string{}}
	for _, node := range plan.Nodes {
		target.Nodes[node.Name] = node.Name
	}
	return Render(plan, target)
}

// longest bounds what a person can have meant to wait for.
const longest = 24 * time.Hour

// Check implements harness.Backend.
func (b *Backend) Check(plan scenarios.Plan) error {
	var problems []error
	refuse := func(format string, args ...any) {
		problems = append(problems,
			fmt.Errorf("%w: %s", harness.ErrUnsupported, fmt.Sprintf(format, args...)))
	}
	if plan.Horizon > longest {
		hint := "use --backend sim"
		if _, err := plan.Faster(math.Ceil(float64(plan.Horizon) / float64(longest))); err == nil {
			hint = "scale it down by --speed, or " + hint
		}
		refuse("%s takes %s of wall time; %s", plan.Scenario, plan.Horizon, hint)
	}
	for _, group := range plan.Peers {
		if plan.World.CertificateOf(group.Secret) == nil {
			refuse("workload %s: no Certificate makes Secret %s", group.Workload, group.Secret)
		}
	}
	for i := range plan.Tokens {
		group := &plan.Tokens[i]
		if secret := keysOf(&plan, group); plan.World.RotatingSecretOf(secret) == nil {
			refuse("workload %s: no RotatingSecret makes Secret %s", group.Workload, secret)
		}
	}
	for i := range plan.Stores {
		refuse("workload %s: no pod keeps data at rest on a cluster yet: use --backend sim",
			plan.Stores[i].Workload)
	}
	for _, action := range plan.Actions {
		if why := b.impossible(action); why != "" && !b.provider.Partial {
			refuse("%s: %s", action.ID, why)
		}
	}
	if b.provider.Check != nil {
		problems = append(problems, b.provider.Check(plan))
	}
	return errors.Join(problems...)
}

// impossible says why an action cannot be performed, "" if it can.
func (b *Backend) impossible(action scenarios.Action) string {
	switch {
	case performers()[action.Verb] == nil && !slices.Contains(b.provider.Verbs, action.Verb):
		return fmt.Sprintf("%s is not possible on %s", action.Verb, b.provider.Name)
	case action.Issuer != "":
		return "one issuer cannot be put out of order here, only cert-manager as a " +
			"whole: leave out issuer, or use --backend sim"
	case action.Verb == scenarios.StopIssuer && action.Mode == scenarios.OutageFail:
		return "cert-manager can be stopped here, but not made to fail: " +
			"use mode stop, or --backend sim"
	}
	return ""
}
