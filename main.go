// Certquake rehearses the rotation of certificates, CAs and keys before production does.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/certquake/certquake/harness/cli"
	"github.com/certquake/certquake/harness/sim"
)

func main() { os.Exit(run()) }

// run wires the backends into the command line. The first interrupt cancels, the second kills.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return cli.Main(ctx, cli.Env{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Backends: []cli.Backend{sim.New()},
		Version:  version(),
	})
}

// version returns the module version that the binary was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
