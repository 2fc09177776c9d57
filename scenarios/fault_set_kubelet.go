package scenarios

// SetKubelet restarts the kubelets of nodes with other settings.
//
// Proof: the kubelet reports the new settings, and its pods are synced under them.
type SetKubelet struct {
	// Node is the node's name as given under nodes (all of its count), or one of its copies.
	Node string `json:"node,omitempty"`
	// Nodes are several.
	Nodes []string `json:"nodes,omitempty"`
	// Kubelet holds the new settings; what is left out has the kubelet's default.
	Kubelet Kubelet `json:"kubelet"`
}

func (f *SetKubelet) check(c *checker, path string) {
	c.nodes(path, f.Node, f.Nodes)
	c.kubelet(path+".kubelet", f.Kubelet)
}

func (f *SetKubelet) expand(e *expansion) {
	for _, name := range e.nodes(oneOrMore(f.Node, f.Nodes)) {
		node := planNode(name, f.Kubelet)
		e.add(0, "configure-"+name, Action{
			Verb: ConfigureKubelet, Node: name, Kubelet: &node, Note: kubeletNote(node),
		})
	}
}
