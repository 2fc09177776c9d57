package cri

import (
	"errors"
	"net/netip"
)

// addresses hands out the addresses of a node's pods. It goes round the range instead of
// reusing the lowest, so that a new pod is not mistaken for the one that just left.
type addresses struct {
	pods netip.Prefix
	last netip.Addr
	used map[netip.Addr]bool
}

var errNoAddress = errors.New("the node's range of pod addresses is used up")

func newAddresses(pods netip.Prefix) *addresses {
	return &addresses{pods: pods.Masked(), last: pods.Masked().Addr(), used: map[netip.Addr]bool{}}
}

// take returns an address that no living pod has. The first one names the range and stays free.
func (a *addresses) take() (netip.Addr, error) {
	first := a.pods.Addr().Next()
	candidate := a.last
	for range 1 << (32 - a.pods.Bits()) {
		candidate = candidate.Next()
		if !a.pods.Contains(candidate.Next()) { // the last one is for broadcasts
			candidate = first
		}
		if !a.used[candidate] {
			a.last, a.used[candidate] = candidate, true
			return candidate, nil
		}
	}
	return netip.Addr{}, errNoAddress
}

func (a *addresses) release(address netip.Addr) { delete(a.used, address) }
