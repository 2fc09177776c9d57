// Package existing performs plans on a cluster that somebody has: in namespaces of the run's own,
// with no more permissions than it says beforehand, and so that nothing is left of it in the end.
//
// New makes the backend. Its settings are flags. RBAC prints what an account needs for a run.
// Nothing is installed, nothing that the run did not make is changed, and nothing without a
// namespace is made unless --allow-cluster-scoped says so. Everything that keeps a run from being
// performed is told at once, before anything is made.
package existing

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// name is what --backend takes.
const name = "existing"

// Backend performs plans on the cluster that its flags name. It implements harness.Backend.
type Backend struct{ settings settings }

// New returns a backend whose settings are those of Flags, or their defaults.
func New() *Backend { return &Backend{settings{namespace: defaultNamespace}} }

// Flags adds the settings to the flags.
func (b *Backend) Flags(flags *pflag.FlagSet) { b.settings.add(flags) }

// Name returns the backend's name.
func (b *Backend) Name() string { return name }

// Basis returns record.Measured: latencies are those of real connections.
func (b *Backend) Basis() record.Basis { return record.Measured }

// Check implements harness.Backend. It reads the kubeconfig, but asks no cluster. Errors that are
// of the settings wrap harness.ErrSettings.
func (b *Backend) Check(plan scenarios.Plan) error { return b.kube().Check(plan) }

// Open implements harness.Backend.
func (b *Backend) Open(
	ctx context.Context, plan scenarios.Plan, sink record.Sink,
) (harness.World, error) {
	return b.kube().Open(ctx, plan, sink)
}

// Render returns everything that a run of the plan applies, as YAML documents.
func (b *Backend) Render(plan scenarios.Plan) ([]byte, error) { return b.kube().Render(plan) }

// kube returns the backend on any cluster with the settings as they are now.
func (b *Backend) kube() *kube.Backend {
	s := b.settings
	return kube.New(kube.Provider{
		Name: name, Partial: s.partial, Check: s.check, Sketch: s.sketch,
		Up: func(ctx context.Context, plan scenarios.Plan) (*clusters.Target, error) {
			return up(ctx, s, plan)
		},
	})
}
