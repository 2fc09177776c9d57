package services

import (
	"context"
	"fmt"
	"os/exec"

	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
)

// HasNFT says whether kube-proxy can work on this machine: its nftables mode calls nft.
func HasNFT() bool {
	_, err := exec.LookPath("nft")
	return err == nil
}

// KubeProxy runs kube-proxy in nftables mode until the process ends. It blocks. One instance
// serves all nodes, for they share one network namespace.
func KubeProxy(ctx context.Context, kubeconfig, node, pods string) error {
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
