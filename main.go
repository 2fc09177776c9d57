// Certquake rehearses the rotation of certificates, CAs and keys before production does.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/access"
	"github.com/certquake/certquake/clusters/embedded"
	"github.com/certquake/certquake/clusters/existing"
	"github.com/certquake/certquake/clusters/image"
	"github.com/certquake/certquake/clusters/kind"
	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/clusters/kube/operator"
	"github.com/certquake/certquake/clusters/programs"
	"github.com/certquake/certquake/clusters/rotator"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/cli"
	"github.com/certquake/certquake/harness/sim"
	"github.com/certquake/certquake/scenarios"
)

// main wires the backends into the command line. The log of the Kubernetes clients is silenced:
// what matters to people the backends say, and a watch that breaks with an API server is no news.
func main() {
	operator.Main() // the operator of a run is another process of this program
	klog.SetLogger(logr.Discard())
	os.Exit(cli.Program(cli.Env{
		Version: version(),
		Backends: []cli.Backend{
			sim.New(), machine{kube.New(onThisMachine())}, inContainers(), existing.New(),
		},
		Image: workloadImage,
		Rotator: &cli.Rotator{
			Run: rotate, CRD: rotator.CRD, RBAC: rotator.RBAC,
			Manifest: func(i cli.RotatorInstallation) ([]byte, error) {
				return rotator.Manifest(rotator.Installation(i))
			},
		},
	}))
}

// programsFolder is the folder of the clusters' programs, if the environment names one.
func programsFolder() string { return os.Getenv("CERTQUAKE_BIN") }

// machine performs plans on clusters without containers, and keeps such clusters.
type machine struct{ *kube.Backend }

// Keep implements cli.ClusterKeeper.
func (machine) Keep(ctx context.Context, spec cli.ClusterSpec) (cli.Kept, error) {
	target, err := embedded.Up(ctx, spec.Nodes,
		embedded.Options{Bin: programsFolder(), Dir: spec.Dir, Images: spec.Images})
	if err != nil {
		return cli.Kept{}, err
	}
	return cli.Kept{
		Kubeconfig: target.Kubeconfig,
		Broken:     target.Broken, Cause: target.Cause, Down: target.Down,
	}, nil
}

// onThisMachine provides clusters without containers.
func onThisMachine() kube.Provider {
	return kube.Provider{
		Name: "embedded", Image: embedded.Image, Verbs: embedded.Verbs(), Check: embedded.Check,
		Up: func(ctx context.Context, plan scenarios.Plan) (*clusters.Target, error) {
			return embedded.Up(ctx, plan.Nodes, embedded.Options{Bin: programsFolder()})
		},
	}
}

// containers performs plans on kind clusters, keeps such clusters and removes them. Its settings
// are those of the options.
type containers struct {
	*kube.Backend
	*kind.Options
}

// inContainers returns a backend whose clusters' nodes are containers.
func inContainers() containers {
	options := &kind.Options{Bin: programsFolder()}
	return containers{Options: options, Backend: kube.New(kube.Provider{
		Name: "kind", Image: kind.Image, Verbs: kind.Verbs(),
		Check: func(plan scenarios.Plan) error { return options.Check(plan) },
		Up: func(ctx context.Context, plan scenarios.Plan) (*clusters.Target, error) {
			return options.Up(ctx, plan.Nodes)
		},
	})}
}

// Check implements harness.Backend, of which the options are a part.
func (c containers) Check(plan scenarios.Plan) error { return c.Backend.Check(plan) }

// Keep implements cli.ClusterKeeper.
func (c containers) Keep(ctx context.Context, spec cli.ClusterSpec) (cli.Kept, error) {
	options := *c.Options
	if options.Cluster != "" || options.Keep {
		return cli.Kept{}, fmt.Errorf("%w: --cluster and --keep are of runs: use --name",
			harness.ErrSettings)
	}
	options.Dir, options.Images = spec.Dir, spec.Images
	target, err := options.Up(ctx, spec.Nodes)
	if err != nil {
		return cli.Kept{}, err
	}
	return cli.Kept{
		Kubeconfig: target.Kubeconfig,
		Broken:     target.Broken, Cause: target.Cause, Down: target.Down,
	}, nil
}

// workloadImage makes the image of the workload program, or of another one in its place.
func workloadImage(ctx context.Context, program string) (cli.Image, error) {
	if program == "" {
		found, err := programs.Workload(ctx, programsFolder())
		if err != nil {
			return cli.Image{}, err
		}
		program = found
	}
	made, err := image.Build(program)
	if err != nil {
		return cli.Image{}, err
	}
	ref, err := image.Ref(made)
	if err != nil {
		return cli.Image{}, err
	}
	digest, err := made.Digest()
	return cli.Image{
		Ref: ref, Digest: digest.String(),
		Write: func(path string) error { return image.WriteOCI(path, ref, made) },
	}, err
}

// rotate runs the rotation operator. Of the log of the Kubernetes clients it tells the errors, and
// all else only to those who ask for it: an operator that has lost its cluster must say so.
func rotate(ctx context.Context, o cli.RotatorOptions) error {
	logger := logr.FromSlogHandler(o.Log)
	klog.SetLogger(logger.V(-int(slog.LevelDebug)))
	config, err := access.Kubeconfig{File: o.Kubeconfig, Context: o.Context}.OrPod()
	if err != nil {
		return err
	}
	config.QPS = -1 // the API server has priorities of its own
	return rotator.Run(ctx, config, rotator.Options{
		Namespaces: o.Namespaces, NoLeaderElection: o.NoLeaderElection,
		LeaseNamespace: o.LeaseNamespace, MetricsAddress: o.MetricsAddress,
		HealthAddress: o.HealthAddress, Poll: o.Poll, Logger: logger,
	})
}

// version returns the module version that the binary was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
