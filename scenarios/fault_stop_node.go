package scenarios

// NodeOutage cuts the power of nodes, and boots them.
//
// Everything on the node ends at once, without a word to anybody: no kubelet syncs, and whoever
// dials one of its pods gets no answer. At the return the kubelet starts and runs the same pods
// anew, with volumes set up from the API as of then.
//
// Proof: the node was seen to be off, and its kubelet to run again at the return.
type NodeOutage struct {
	// Node is the node's name as given under nodes (all of its count), or one of its copies.
	Node string `json:"node,omitempty"`
	// Nodes are several.
	Nodes []string `json:"nodes,omitempty"`
	// For is how long, default 0s: to the end of the run.
	For Duration `json:"for,omitempty"`
}

func (f *NodeOutage) check(c *checker, path string) {
	c.nodes(path, f.Node, f.Nodes)
	c.notNegative(path+".for", f.For)
}

func (f *NodeOutage) expand(e *expansion) {
	for _, node := range e.nodes(oneOrMore(f.Node, f.Nodes)) {
		e.add(0, "stop-"+node, Action{
			Verb: StopNode, Node: node, Note: "cut the power of " + node,
		})
		if f.For > 0 {
			e.add(f.For, "start-"+node, Action{
				Verb: StartNode, Node: node, Note: "boot " + node,
			})
		}
	}
}
