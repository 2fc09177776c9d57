package cri

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// network is the network namespace of one pod and its cable to the node:
//
//	pod: eth0 ADDRESS/32, default via GATEWAY  <->  node: pADDRESS, route ADDRESS/32
//
// There is no bridge: traffic between two pods of one node is then routed like any other, and
// the address translation of Services sees both directions.
type network struct {
	namespace *os.File // the namespace lives as long as this or a process in it
	cable     string
}

// newNetwork makes the namespace and connects it. It undoes what it did when it fails.
func newNetwork(address, gateway netip.Addr) (*network, error) {
	namespace, err := newNamespace()
	if err != nil {
		return nil, fmt.Errorf("make namespace: %w", err)
	}
	octets := address.As4()
	n := &network{
		namespace: namespace, cable: fmt.Sprintf("p%d.%d.%d", octets[1], octets[2], octets[3]),
	}
	if err := n.plug(address, gateway); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// newNamespace makes a network namespace on a thread of its own, which ends with its goroutine
// because it is never unlocked.
func newNamespace() (*os.File, error) {
	var file *os.File
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			file, err = os.Open("/proc/thread-self/ns/net")
		}
		result <- err
	}()
	return file, <-result
}

func (n *network) plug(address, gateway netip.Addr) error {
	veth := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: n.cable}, PeerName: "eth0",
		PeerNamespace: netlink.NsFd(int(n.namespace.Fd())),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("make cable: %w", err)
	}
	near, err := netlink.LinkByName(n.cable)
	if err != nil {
		return fmt.Errorf("find cable: %w", err)
	}
	if err := netlink.LinkSetUp(near); err != nil {
		return fmt.Errorf("raise cable: %w", err)
	}
	if err := n.insidePod(address, gateway, near.Attrs().HardwareAddr); err != nil {
		return fmt.Errorf("inside the pod: %w", err)
	}
	route := &netlink.Route{
		LinkIndex: near.Attrs().Index, Dst: host(address), Scope: netlink.SCOPE_LINK,
	}
	if err := netlink.RouteAdd(route); err != nil {
		return fmt.Errorf("route to pod: %w", err)
	}
	return nil
}

// insidePod tells the pod the hardware address of its gateway, since nobody would answer for it.
func (n *network) insidePod(address, gateway netip.Addr, hardware net.HardwareAddr) error {
	handle, err := netlink.NewHandleAt(netns.NsHandle(n.namespace.Fd()))
	if err != nil {
		return err
	}
	defer handle.Close()
	for _, name := range []string{"lo", "eth0"} {
		link, missing := handle.LinkByName(name)
		if missing != nil {
			return missing
		}
		if err = handle.LinkSetUp(link); err != nil {
			return fmt.Errorf("raise %s: %w", name, err)
		}
	}
	far, err := handle.LinkByName("eth0")
	if err != nil {
		return err
	}
	index := far.Attrs().Index
	if err := handle.AddrAdd(far, &netlink.Addr{IPNet: host(address)}); err != nil {
		return fmt.Errorf("add address: %w", err)
	}
	if err := handle.NeighAdd(&netlink.Neigh{
		LinkIndex: index, State: netlink.NUD_PERMANENT, IP: gateway.AsSlice(),
		HardwareAddr: hardware,
	}); err != nil {
		return fmt.Errorf("add gateway: %w", err)
	}
	for _, route := range []*netlink.Route{
		{LinkIndex: index, Dst: host(gateway), Scope: netlink.SCOPE_LINK},
		{LinkIndex: index, Gw: gateway.AsSlice()},
	} {
		if err := handle.RouteAdd(route); err != nil {
			return fmt.Errorf("add route: %w", err)
		}
	}
	return nil
}

// close unplugs the cable at once; the namespace follows with the last process in it.
func (n *network) close() error {
	var unplug error
	if near, err := netlink.LinkByName(n.cable); err == nil {
		unplug = netlink.LinkDel(near)
	}
	return errors.Join(unplug, n.namespace.Close())
}

func host(address netip.Addr) *net.IPNet {
	return &net.IPNet{IP: address.AsSlice(), Mask: net.CIDRMask(32, 32)}
}
