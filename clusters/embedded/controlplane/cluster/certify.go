package cluster

import (
	"fmt"

	"github.com/certquake/certquake/clusters/embedded/controlplane/pki"
)

// certify makes all certificates and kubeconfigs.
func (c *cluster) certify() error {
	authority, err := pki.New(pkiDir)
	if err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	c.authority = authority
	for _, id := range c.identities() {
		if err := authority.Issue(id); err != nil {
			return err
		}
	}
	inner := "https://" + apiAddress().String()
	clients := []string{"admin", "kube-controller-manager", "kube-scheduler"}
	for _, node := range c.config.Nodes {
		clients = append(clients, nodeFile(node.Name))
	}
	for _, name := range clients {
		path := authority.Path(name + ".kubeconfig")
		if err := authority.Kubeconfig(path, name, inner); err != nil {
			return err
		}
	}
	return authority.Kubeconfig(c.config.kubeconfig(), "admin", c.server())
}

// server is the API server's address as the outside reaches it.
func (c *cluster) server() string { return "https://" + c.front.Addr().String() }

func (c *cluster) identities() []pki.Identity {
	admins := []string{"system:masters"}
	list := []pki.Identity{
		{Name: "apiserver", Common: "kube-apiserver", Hosts: []string{
			"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc.cluster.local", "127.0.0.1", controlAddress, serviceFirst,
		}},
		{Name: "admin", Common: "admin", Groups: admins},
		{Name: "kubelet-client", Common: "kube-apiserver-kubelet-client", Groups: admins},
		{Name: "kube-controller-manager", Common: "system:kube-controller-manager"},
		{Name: "kube-scheduler", Common: "system:kube-scheduler"},
	}
	for i, node := range c.config.Nodes {
		list = append(list, pki.Identity{
			Name: nodeFile(node.Name), Common: "system:node:" + node.Name,
			Groups: []string{"system:nodes"}, Hosts: []string{node.Name, nodeAddress(i)},
		})
	}
	return list
}
