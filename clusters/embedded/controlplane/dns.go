package main

import (
	"context"

	"github.com/certquake/certquake/clusters/embedded/controlplane/services"
)

// dns answers for the names of Services.
func dns(ctx context.Context, args []string) error {
	flags := flagSet("dns")
	kubeconfig := flags.String("kubeconfig", "", "how to reach the API server")
	address := flags.String("address", "", "where to serve, on port 53")
	if err := parse(flags, args); err != nil {
		return err
	}
	return services.ServeDNS(ctx, *kubeconfig, *address)
}
