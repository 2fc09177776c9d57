package main

import (
	"context"
	"time"

	"github.com/certquake/certquake/clusters/embedded/controlplane/kubelet"
)

// kubeletNode runs one kubelet.
func kubeletNode(ctx context.Context, args []string) error {
	var config kubelet.Config
	flags := flagSet("kubelet")
	flags.StringVar(&config.Name, "name", "", "name of the node")
	flags.StringVar(&config.Kubeconfig, "kubeconfig", "", "how to reach the API server")
	flags.StringVar(&config.Cert, "cert", "", "server certificate")
	flags.StringVar(&config.Key, "key", "", "key of the server certificate")
	flags.StringVar(&config.CA, "ca", "", "authority of clients")
	flags.StringVar(&config.Root, "root", "", "folder of volumes")
	flags.StringVar(&config.Logs, "logs", "", "folder of pods' logs")
	flags.StringVar(&config.Socket, "socket", "", "of the CRI server")
	flags.StringVar(&config.Address, "address", "", "address of the node")
	flags.StringVar(&config.DNS, "dns", "", "address of the DNS server")
	flags.DurationVar(&config.SyncFrequency, "sync-frequency", time.Minute, "")
	flags.StringVar(&config.ChangeDetection, "change-detection", "Watch", "or Cache, or Get")
	flags.BoolVar(&config.UserNamespace, "user-namespace", false, "root only in one")
	flags.DurationVar(&config.Patience, "patience", 0, "how long to wait for the API server")
	if err := parse(flags, args); err != nil {
		return err
	}
	return kubelet.Run(ctx, config)
}
