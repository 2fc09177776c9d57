package services

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
)

// loops lets pods reach themselves through a Service. Their packets must come back to the node
// to be translated, so they leave it under the node's name. kube-proxy does this for the pods
// of its own node only, and here it acts for all nodes.
func loops(ctx context.Context, ranges []netip.Prefix) error {
	command := exec.CommandContext(ctx, "nft", "-f", "-")
	command.Stdin = strings.NewReader(loopRules(ranges))
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("let pods reach themselves: nft: %w: %s", err, out)
	}
	return nil
}

// loopRules are in the language of nft, which cannot compare a packet's two addresses: it is
// given every pair of the same address.
func loopRules(ranges []netip.Prefix) string {
	var pairs strings.Builder
	for _, pods := range ranges {
		for address := pods.Masked().Addr(); pods.Contains(address); address = address.Next() {
			fmt.Fprintf(&pairs, "%s . %s, ", address, address)
		}
	}
	return `table ip certquake {
	set loops {
		type ipv4_addr . ipv4_addr
		elements = { ` + pairs.String() + `}
	}
	chain leaving {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr . ip daddr @loops masquerade
	}
}
`
}
