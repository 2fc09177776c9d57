package cluster

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
)

// furnish makes the new namespaces fit for a cluster.
func furnish(config Config, services string) error {
	if err := furnishMounts(config); err != nil {
		return refused(err)
	}
	if err := furnishNetwork(config, services); err != nil {
		return fmt.Errorf("set up network: %w", err)
	}
	return nil
}

func furnishMounts(config Config) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("detach mounts: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := syscall.Mount("certquake", scratch, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount %s: %w", scratch, err)
	}
	if err := os.MkdirAll(state, 0o755); err != nil {
		return err
	}
	if err := syscall.Sethostname([]byte("certquake")); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	for path, text := range map[string]string{
		"/etc/hosts":       hosts(config),
		"/etc/resolv.conf": "nameserver " + controlAddress + "\n",
	} {
		if err := cover(path, text); err != nil {
			return fmt.Errorf("cover %s: %w", path, err)
		}
	}
	return nil
}

func hosts(config Config) string {
	var text strings.Builder
	fmt.Fprintln(&text, "127.0.0.1 localhost certquake")
	for i, node := range config.Nodes {
		fmt.Fprintln(&text, nodeAddress(i), node.Name)
	}
	return text.String()
}

// cover lets the cluster see other content at path. A machine without that file needs none.
func cover(path, text string) error {
	file, err := filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	instead := filepath.Join(state, filepath.Base(path))
	if err := os.WriteFile(instead, []byte(text), 0o644); err != nil {
		return err
	}
	return syscall.Mount(instead, file, "", syscall.MS_BIND, "")
}

// furnishNetwork gives loopback the addresses of the cluster. There is no other interface than
// those of pods, and no default route.
func furnishNetwork(config Config, services string) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err = netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("raise loopback: %w", err)
	}
	addresses := []string{controlAddress}
	for i := range config.Nodes {
		addresses = append(addresses, nodeAddress(i))
	}
	for _, text := range addresses {
		address, unread := netlink.ParseAddr(text + "/32")
		if unread != nil {
			return unread
		}
		if err = netlink.AddrAdd(lo, address); err != nil {
			return fmt.Errorf("add %s: %w", text, err)
		}
	}
	err = os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
	return errors.Join(err, routeServices(lo, services))
}

// routeServices lets processes outside pods dial cluster addresses. For the relay they are
// local; for kube-proxy any route will do, because the packet is rewritten on its way out.
func routeServices(lo netlink.Link, services string) error {
	_, all, err := net.ParseCIDR(serviceRange)
	if err != nil {
		return err
	}
	route := &netlink.Route{
		LinkIndex: lo.Attrs().Index, Dst: all, Scope: netlink.SCOPE_HOST,
		Src: net.ParseIP(controlAddress),
	}
	if services == relay {
		route.Type, route.Table = syscall.RTN_LOCAL, syscall.RT_TABLE_LOCAL
	}
	if err := netlink.RouteAdd(route); err != nil {
		return fmt.Errorf("route Services: %w", err)
	}
	return nil
}
