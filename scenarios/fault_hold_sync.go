package scenarios

// HoldSync stops the kubelets of nodes, so that mounted Secrets stay as they are.
//
// Proof: the node's pods show no projection between the two ends, and the first one after it.
type HoldSync struct {
	// Node is the node's name as given under nodes (all of its count), or one of its copies.
	Node string `json:"node,omitempty"`
	// Nodes are several.
	Nodes []string `json:"nodes,omitempty"`
	// For is how long, default 0s: to the end of the run.
	For Duration `json:"for,omitempty"`
}

func (f *HoldSync) check(c *checker, path string) {
	c.nodes(path, f.Node, f.Nodes)
	c.notNegative(path+".for", f.For)
}

func (f *HoldSync) expand(e *expansion) {
	for _, node := range e.nodes(oneOrMore(f.Node, f.Nodes)) {
		e.add(0, "pause-"+node, Action{
			Verb: PauseSync, Node: node, Note: "stop the kubelet of " + node,
		})
		if f.For > 0 {
			e.add(f.For, "resume-"+node, Action{
				Verb: ResumeSync, Node: node, Note: "start the kubelet of " + node,
			})
		}
	}
}
