// Network connects the pods of a node image's cluster: on each node it tells the container
// runtime which addresses its pods get, keeps a route to the pods of every other node, and lets
// pods reach the world under the node's address. It runs on every node, in the node's network,
// from a manifest in /kind/manifests. IPv4 only.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	// pollInterval bounds how long a new node's pods stay unreachable, and how long a node
	// that came back with another address does.
	pollInterval = 2 * time.Second
	pollMax      = 5 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(ctx, log); err != nil {
		log.ErrorContext(ctx, "network ends", "error", err)
		os.Exit(1)
	}
}

// run keeps the node's network as the cluster's list of nodes says, until ctx ends. While the
// API server is away everything stays as it was.
func run(ctx context.Context, log *slog.Logger) error {
	client, err := newClient(os.Getenv)
	if err != nil {
		return err
	}
	if err := masquerade(ctx, os.Getenv("POD_SUBNET")); err != nil {
		return fmt.Errorf("masquerade pods: %w", err)
	}
	here := node{log: log, address: os.Getenv("HOST_IP")}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if err := here.follow(ctx, client); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "follow nodes", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
