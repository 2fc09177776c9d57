package main

import (
	"context"
	"net/netip"

	"github.com/certquake/certquake/clusters/embedded/controlplane/control"
)

// up runs etcd, the API server, the controllers and the scheduler.
func up(ctx context.Context, args []string) error {
	var config control.Config
	flags := flagSet("up")
	flags.StringVar(&config.Data, "data", "", "folder of etcd's data")
	flags.StringVar(&config.PKI, "pki", "", "folder of certificates and kubeconfigs")
	flags.TextVar(&config.Address, "address", netip.AddrPort{}, "where to serve the API")
	flags.StringVar(&config.Services, "services", "", "address range of Services")
	if err := parse(flags, args); err != nil {
		return err
	}
	return control.Run(ctx, config)
}
