package services

import (
	"context"
	"fmt"
	"net/netip"

	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
)

// KubeProxy runs kube-proxy in nftables mode, which calls nft, until the process ends. It
// blocks. One instance serves all nodes, for they share one network namespace; ranges are the
// pod addresses of each.
func KubeProxy(
	ctx context.Context, kubeconfig, node, pods string, ranges []netip.Prefix,
) error {
	if err := loops(ctx, ranges); err != nil {
		return err
	}
	command := proxy.NewProxyCommand()
	command.SetArgs([]string{
		"--kubeconfig=" + kubeconfig,
		"--proxy-mode=nftables",
		"--hostname-override=" + node,
		"--cluster-cidr=" + pods,
		"--nodeport-addresses=127.0.0.0/8",
		"--metrics-bind-address=127.0.0.1:10249",
		"--healthz-bind-address=127.0.0.1:10256",
		// Connection tracking belongs to the machine: leave its settings alone.
		"--conntrack-max-per-core=0",
		"--conntrack-tcp-timeout-established=0",
		"--conntrack-tcp-timeout-close-wait=0",
	})
	if err := command.ExecuteContext(ctx); err != nil {
		return fmt.Errorf("kube-proxy: %w", err)
	}
	return nil
}
