package scenarios

import "time"

// kubeletTicks is what the kubelet adds to a resync: up to its sync loop's tick of 1s, to which it
// rounds up the interval however long that is, and the 100ms of each of the volume populator and
// the reconciler, with as much again for the write.
const kubeletTicks = 1300 * time.Millisecond

// BoundOf returns the longest time from a Secret's write to its use by every pod of the workload:
// 1.5 syncFrequency, the kubelet's cache, the reload interval and the kubelet's ticks. Settings
// that a fault brings count too; a paused kubelet does not, nor does an API server that is down. A
// policy without an interval adds nothing: a start-up only reader exceeds the bound until it is
// restarted. Who fetches a JWKS has the bound of those who publish it, and what its policy adds. An
// unknown workload has the bound 0.
func (p Plan) BoundOf(workload string) time.Duration {
	return p.Bounds()[workload]
}

// Bounds returns BoundOf of every workload, in one pass over the plan.
func (p Plan) Bounds() map[string]time.Duration {
	projection := p.projectionBounds()
	mounted := map[string]Consumer{}
	for _, consumer := range p.Consumers() {
		if consumer.Secret != "" {
			mounted[consumer.Workload] = consumer
		}
	}
	bounds := map[string]time.Duration{}
	for _, pod := range p.Pods {
		if consumer, ok := mounted[pod.Workload]; ok {
			bounds[pod.Workload] = max(
				bounds[pod.Workload], projection[pod.Node]+consumer.Every)
		}
	}
	for i := range p.Tokens {
		if keys := p.Tokens[i].JWKS; keys != nil {
			bounds[p.Tokens[i].Workload] = bounds[keys.From] + keys.Policy().LagMax()
		}
	}
	return bounds
}

// Bound returns the longest BoundOf of all workloads.
func (p Plan) Bound() time.Duration {
	var longest time.Duration
	for _, bound := range p.Bounds() {
		longest = max(longest, bound)
	}
	return longest
}

// projectionBounds returns, for each node, the longest time from a Secret's write to its projection
// there, under any of the settings that its kubelet has in the plan.
func (p Plan) projectionBounds() map[string]time.Duration {
	bounds := map[string]time.Duration{}
	for _, node := range p.Nodes {
		bounds[node.Name] = max(bounds[node.Name], node.projectionBound())
	}
	for _, action := range p.Actions {
		if action.Verb == ConfigureKubelet {
			bounds[action.Node] = max(bounds[action.Node], action.Kubelet.projectionBound())
		}
	}
	return bounds
}

func (n PlannedNode) projectionBound() time.Duration {
	return n.SyncFrequency + n.SyncFrequency/2 + n.CacheTTL + kubeletTicks
}
