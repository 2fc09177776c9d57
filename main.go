// Certquake rehearses the rotation of certificates, CAs and keys before production does.
package main

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/embedded"
	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/harness/cli"
	"github.com/certquake/certquake/harness/sim"
	"github.com/certquake/certquake/scenarios"
)

// main wires the backends into the command line.
func main() { os.Exit(cli.Program(version(), sim.New(), kube.New(onThisMachine()))) }

// onThisMachine provides clusters without containers.
func onThisMachine() kube.Provider {
	return kube.Provider{
		Name: "embedded", Image: embedded.Image,
		Verbs: embedded.Verbs(), Check: embedded.Check,
		Up: func(ctx context.Context, plan scenarios.Plan) (*clusters.Target, error) {
			return embedded.Up(ctx, plan.Nodes, embedded.Options{})
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
