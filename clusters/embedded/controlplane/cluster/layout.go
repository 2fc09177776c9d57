package cluster

import (
	"fmt"
	"net/netip"
	"path/filepath"
)

// Addresses inside the cluster's network namespace. Nothing outside can see them.
const (
	controlAddress  = "10.10.0.1" // API server, DNS
	apiPort         = 6443
	webhookPort     = 10260 // and the next one, for its health
	serviceRange    = "10.96.0.0/16"
	serviceFirst    = "10.96.0.1" // the API server's own Service
	podRange        = "10.244.0.0/16"
	podGateway      = "169.254.1.1"
	nodesMax        = 200
	frontDescriptor = 3 // listener on the loopback of the outside
)

// Ways to make Services work.
const (
	kubeProxy = "kube-proxy"
	relay     = "relay"
)

// The scratch folder is covered by a file system in memory that only the cluster sees: it is
// short (socket paths are limited to 108 bytes), the kubelet wants to write there anyway, and
// keys and etcd's data vanish with the last process, however it ends.
const (
	scratch = "/var/log"
	state   = scratch + "/certquake"
	pkiDir  = state + "/pki"
)

func apiAddress() netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(controlAddress), apiPort)
}

func nodeAddress(index int) string { return fmt.Sprintf("10.10.0.%d", 11+index) }

func podsOf(index int) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("10.244.%d.0/24", 1+index))
}

func adminConfig() string { return filepath.Join(pkiDir, "admin.kubeconfig") }

func nodeDir(name string) string { return filepath.Join(state, "nodes", name) }

// nodeFile names a node's certificate, apart from those of the control plane.
func nodeFile(name string) string { return "node-" + name }

func socket(name string) string { return filepath.Join(nodeDir(name), "cri.sock") }

// podLogs lie in the run folder: they are evidence, and readable while the API is away.
func (c Config) podLogs(node string) string { return filepath.Join(c.Dir, "logs", node, "pods") }

func (c Config) processLog(name string) string {
	return filepath.Join(c.Dir, "logs", name+".log")
}

func (c Config) kubeconfig() string { return filepath.Join(c.Dir, "kubeconfig") }
