package main

import (
	"context"
	"fmt"

	"github.com/certquake/certquake/clusters/embedded/controlplane/certmanager"
)

// certManager runs one part of cert-manager.
func certManager(ctx context.Context, args []string) error {
	flags := flagSet("certmanager")
	kubeconfig := flags.String("kubeconfig", "", "how to reach the API server")
	part := flags.String("part", "", "controller or webhook")
	port := flags.Int("port", 0, "port of the webhook; the next one is for its health")
	if err := parse(flags, args); err != nil {
		return err
	}
	switch *part {
	case "controller":
		return certmanager.RunController(ctx, *kubeconfig)
	case "webhook":
		return certmanager.RunWebhook(ctx, *kubeconfig, *port)
	}
	return fmt.Errorf("part %q is neither controller nor webhook", *part)
}
