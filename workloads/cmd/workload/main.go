// Workload is the program in the pods of a run: one static binary with a role per subcommand.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/certquake/certquake/workloads/peer"
)

// The exit codes.
const (
	exitOK     = 0 // the role ended because it was told to
	exitFailed = 1 // it could not do its work
	exitUsage  = 2 // a wrong flag, command or config; nothing was done
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(program(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// streams are where the program reads and writes: rows go to out, talk to err.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// program runs the command line and returns its exit code.
func program(ctx context.Context, args []string, std streams) int {
	root := newRoot(std) //nolint:contextcheck // cobra hands the context to the command
	root.SetArgs(args)
	root.SetOut(std.out)
	root.SetErr(std.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	_, _ = fmt.Fprintf(std.err, "workload: %v\n", err)
	_, misused := errors.AsType[*usageError](err)
	_, misconfigured := errors.AsType[*peer.ConfigError](err)
	if misused || misconfigured {
		_, _ = fmt.Fprintf(std.err, "workload: hint: workload %s --help shows a config\n",
			asked(args))
		return exitUsage
	}
	return exitFailed
}

// asked returns the role that a command line is about.
func asked(args []string) string {
	if len(args) > 0 && args[0] == "tokens" {
		return "tokens"
	}
	return "peers"
}

// usageError is of a command line that asks for nothing that can be done.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// version returns the module version that the binary was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
