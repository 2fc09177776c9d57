package main

import (
	"encoding/json"
	"net"
)

const ethernetMTU = 1500

// The configuration of the Container Network Interface, as far as the three plug-ins used here
// read it.
type (
	network struct {
		Version string `json:"cniVersion"`
		Name    string `json:"name"`
		Plugins []any  `json:"plugins"`
	}
	// cable is a pair of interfaces, one in the pod and one on the node.
	cable struct {
		Type      string    `json:"type"`
		MTU       int       `json:"mtu"`
		Addresses addresses `json:"ipam"`
	}
	addresses struct {
		Type   string                `json:"type"`
		Dir    string                `json:"dataDir"`
		Routes []destination         `json:"routes"`
		Ranges [][]map[string]string `json:"ranges"`
	}
	destination struct {
		To string `json:"dst"`
	}
	ports struct {
		Type         string          `json:"type"`
		Capabilities map[string]bool `json:"capabilities"`
	}
)

// conflist is the network configuration of a node whose pods take addresses from the range.
// Addresses in use are remembered below /run, which is empty after a restart, as the pods are.
func conflist(pods *net.IPNet, mtu int) ([]byte, error) {
	return json.MarshalIndent(network{
		Version: "0.4.0",
		Name:    "certquake",
		Plugins: []any{
			cable{Type: "ptp", MTU: mtu, Addresses: addresses{
				Type: "host-local", Dir: "/run/cni-addresses",
				Routes: []destination{{To: "0.0.0.0/0"}},
				Ranges: [][]map[string]string{{{"subnet": pods.String()}}},
			}},
			ports{Type: "portmap", Capabilities: map[string]bool{"portMappings": true}},
		},
	}, "", "  ")
}
