// Certquake rehearses the rotation of certificates, CAs and keys before production does.
package main

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/embedded"
	"github.com/certquake/certquake/clusters/existing"
	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/harness/cli"
	"github.com/certquake/certquake/harness/sim"
	"github.com/certquake/certquake/scenarios"
)

// main wires the backends into the command line. The log of the Kubernetes clients is silenced:
// what matters to people the backends say, and a watch that breaks with an API server is no news.
func main() {
	klog.SetLogger(logr.Discard())
	os.Exit(cli.Program(cli.Env{
		Version: version(),
		Backends: []cli.Backend{
			sim.New(),
			machine{kube.New(onThisMachine())},
			inContainers(), existing.New(),
		},
		Image: workloadImage,
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

// version returns the module version that the binary was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
