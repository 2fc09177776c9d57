package main

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/certquake/certquake/clusters/embedded/controlplane/services"
)

// proxy makes the cluster addresses of Services work.
func proxy(ctx context.Context, args []string) error {
	flags := flagSet("proxy")
	kubeconfig := flags.String("kubeconfig", "", "how to reach the API server")
	mode := flags.String("mode", "", "kube-proxy or relay")
	node := flags.String("node", "", "name of a node to act for")
	pods := flags.String("pods", "", "address range of pods")
	var ranges []netip.Prefix
	flags.Func("node-pods", "address range of one node's pods, once for each",
		func(text string) error {
			one, err := netip.ParsePrefix(text)
			ranges = append(ranges, one)
			return err
		})
	if err := parse(flags, args); err != nil {
		return err
	}
	switch *mode {
	case "kube-proxy":
		return services.KubeProxy(ctx, *kubeconfig, *node, *pods, ranges)
	case "relay":
		return services.Relay(ctx, *kubeconfig)
	}
	return fmt.Errorf("mode %q is neither kube-proxy nor relay", *mode)
}
