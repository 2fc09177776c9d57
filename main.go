// Certquake rehearses the rotation of certificates, CAs and keys before production does.
package main

import (
	"os"
	"runtime/debug"

	"github.com/certquake/certquake/harness/cli"
	"github.com/certquake/certquake/harness/sim"
)

// main wires the backends into the command line.
func main() { os.Exit(cli.Program(version(), sim.New())) }

// version returns the module version that the binary was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
