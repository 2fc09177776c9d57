package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
)

// configuration is where the container runtime looks for it. The number leaves room for a
// network that somebody puts before ours.
const configuration = "/etc/cni/net.d/10-certquake.conflist"

// node is the one this process runs on.
type node struct {
	log     *slog.Logger
	address string // of this node
	written string // the network configuration that the runtime has
}

// follow makes this node's network fit the cluster's nodes of now. One peer that cannot be
// routed to does not keep the others from being so.
func (n *node) follow(ctx context.Context, client *client) error {
	ctx, cancel := context.WithTimeout(ctx, pollMax)
	defer cancel()
	peers, err := client.nodes(ctx)
	if err != nil {
		return err
	}
	problems := make([]error, 0, len(peers))
	for _, peer := range peers {
		if peer.address == n.address {
			problems = append(problems, n.configure(ctx, peer.pods))
		} else {
			problems = append(problems, route(peer))
		}
	}
	return errors.Join(problems...)
}

// configure writes the runtime's network configuration when it has changed. The runtime
// watches the folder, so the file appears whole or not at all.
func (n *node) configure(ctx context.Context, pods *net.IPNet) error {
	text, err := conflist(pods, mtu(n.address))
	if err != nil {
		return err
	}
	if string(text) == n.written {
		return nil
	}
	temporary := filepath.Join(filepath.Dir(configuration), ".certquake")
	if err := os.WriteFile(temporary, text, 0o644); err != nil {
		return err
	}
	if err := os.Rename(temporary, configuration); err != nil {
		return err
	}
	n.written = string(text)
	n.log.InfoContext(ctx, "wrote network configuration", "pods", pods.String())
	return nil
}

// route leads to the pods of a peer by the peer's address.
func route(to peer) error {
	err := netlink.RouteReplace(&netlink.Route{Dst: to.pods, Gw: net.ParseIP(to.address)})
	if err != nil {
		return fmt.Errorf("route %s by %s: %w", to.pods, to.address, err)
	}
	return nil
}

// mtu is that of the interface with the address, or Ethernet's if there is none such.
func mtu(address string) int {
	interfaces, err := net.Interfaces()
	if err != nil {
		return ethernetMTU
	}
	for _, one := range interfaces {
		addresses, err := one.Addrs()
		if err != nil {
			continue
		}
		for _, its := range addresses {
			if network, ok := its.(*net.IPNet); ok && network.IP.String() == address {
				return one.MTU
			}
		}
	}
	return ethernetMTU
}
