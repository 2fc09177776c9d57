package sim

import "time"

// bootTime is about what a node takes from power to a kubelet that runs its pods, as a small
// virtual machine or a container that stands for one does.
const bootTime = 5 * time.Second

// powerOff ends the node with everything on it. Nobody is told: what its processes had done until
// then counts, and peers find out by themselves. A boot under way ends too.
func (n *node) powerOff(action string) error {
	if n.off && n.booting == "" {
		return nil // nothing changes, so nothing is proved
	}
	if !n.idle() {
		n.catchUp()
		n.catchUpRetries()
	}
	n.off, n.paused, n.booting = true, false, ""
	n.cuts++
	for _, p := range n.pods {
		if err := p.powerOff(action); err != nil {
			return err
		}
	}
	return n.world.prove(action, n.plan.Name, "it is off, and its pods with it")
}

// powerOff ends the pod's process if there is one, and takes its volume, which was in memory.
func (p *pod) powerOff(action string) error {
	if !p.up {
		p.epoch++
		p.gone = true
		return p.node.world.traffic.moved(p, nil)
	}
	if err := p.node.world.traffic.leaving(p, false); err != nil {
		return err
	}
	return p.end(action, "its node is off", true)
}

// powerOn boots the node. Its kubelet then has its pods from the API server, and starts them.
func (n *node) powerOn(action string) error {
	if !n.off || n.booting != "" {
		return nil // nothing changes, so nothing is proved
	}
	n.booting = action
	cuts := n.cuts
	n.world.at(n.world.now+bootTime, func() error {
		if n.cuts != cuts {
			return nil
		}
		n.off = false
		return n.booted()
	})
	return nil
}

// booted has whoever dialled the node's pods in vain be told that there are none, until there are.
func (n *node) booted() error {
	for _, p := range n.pods {
		if err := n.world.traffic.moved(p, nil); err != nil {
			return err
		}
	}
	return n.comeUp()
}
