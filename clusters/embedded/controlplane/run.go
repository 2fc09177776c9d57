package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/certquake/certquake/clusters/embedded/controlplane/cluster"
)

// run starts a cluster and returns its exit code.
func run(args []string) int {
	flags := flagSet("run")
	config := flags.String("config", "-", "configuration, or - for the first line of the input")
	orphaned := flags.String("remove-orphaned", "",
		"`folder` to remove in the end if the process that began this one has ended by then")
	parent := os.Getppid()
	if err := parse(flags, args); err != nil {
		fmt.Fprintln(os.Stderr, "controlplane: run:", err)
		return 2
	}
	// Whoever is killed leaves pipes without a reader: to write to them must not end us early.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	code, err := cluster.Run(context.Background(), *config)
	if *orphaned != "" && os.Getppid() != parent {
		_ = os.RemoveAll(*orphaned) // there is nobody to tell
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "controlplane: run:", err)
		_ = json.NewEncoder(os.Stdout).Encode(cluster.Failed{Event: "failed", Error: err.Error()})
		return 1
	}
	return code
}

// inside is what run re-executes as the first process of the new namespaces.
func inside(ctx context.Context, args []string) error {
	flags := flagSet("inside")
	config := flags.String("config", "-", "configuration")
	user := flags.Bool("user-namespace", false, "root only in a user namespace")
	if err := parse(flags, args); err != nil {
		return err
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // as in run
	return cluster.Inside(ctx, *config, *user, cluster.Streams{
		In: os.Stdin, Out: os.Stdout, Talk: os.Stderr,
	})
}
