package main

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
)

// masquerade gives pods the node's address where they leave the cluster: nobody out there has
// a route to theirs. It may be done again and again.
func masquerade(ctx context.Context, subnet string) error {
	_, pods, err := net.ParseCIDR(subnet)
	if err != nil {
		return fmt.Errorf("POD_SUBNET: %w", err)
	}
	command := exec.CommandContext(ctx, "nft", "-f", "-")
	command.Stdin = strings.NewReader(rules(pods))
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, strings.TrimSpace(string(output)))
	}
	return nil
}

// rules are those of our own table. The first line makes the second one succeed where there
// is no such table yet.
func rules(pods *net.IPNet) string {
	return fmt.Sprintf(`table ip certquake-network {}
delete table ip certquake-network
table ip certquake-network {
	chain leave {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr %[1]s ip daddr != %[1]s fib daddr type != local masquerade
	}
}
`, pods)
}
