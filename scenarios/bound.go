package scenarios

import "time"

// kubeletTicks is what the kubelet adds to a resync: its sync loop's tick of 1s, and the 100ms of
// each of the volume populator and the reconciler, with as much again for the write.
const kubeletTicks = 1300 * time.Millisecond

// BoundOf returns the longest time from a Secret's write to its use by every pod of the workload:
// 1.5 syncFrequency, the kubelet's cache, the reload interval and the kubelet's ticks. Settings
// that a fault brings count too; a paused kubelet does not. A policy without an interval adds
// nothing: a start-up only reader exceeds the bound until it is restarted. An unknown workload has
// the bound 0.
func (p Plan) BoundOf(workload string) time.Duration {
	var every time.Duration
	for _, group := range p.Peers {
		if group.Workload == workload {
			every = group.Every
		}
	}
	var bound time.Duration
	for _, pod := range p.Pods {
		if pod.Workload == workload {
			bound = max(bound, p.projectionBound(pod.Node)+every)
		}
	}
	return bound
}

// Bound returns the longest BoundOf of all workloads.
func (p Plan) Bound() time.Duration {
	var bound time.Duration
	for _, group := range p.Peers {
		bound = max(bound, p.BoundOf(group.Workload))
	}
	return bound
}

// projectionBound returns the longest time from a Secret's write to its projection on a node.
func (p Plan) projectionBound(name string) time.Duration {
	var bound time.Duration
	for _, node := range p.Nodes {
		if node.Name == name {
			bound = max(bound, node.projectionBound())
		}
	}
	for _, action := range p.Actions {
		if action.Verb == ConfigureKubelet && action.Node == name {
			bound = max(bound, action.Kubelet.projectionBound())
		}
	}
	return bound
}

func (n PlannedNode) projectionBound() time.Duration {
	return n.SyncFrequency + n.SyncFrequency/2 + n.CacheTTL + kubeletTicks
}
