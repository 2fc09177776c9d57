package scenarios

import (
	"slices"
	"time"
)

// Targets returns the names of the pods a stream dials in turn, from Stream.First on, modulo their
// number: those of the workloads To, in plan order, without the source.
func (p Plan) Targets(stream Stream) []string {
	var targets []string
	for _, pod := range p.Pods {
		if pod.Name != stream.Source && slices.Contains(stream.To, pod.Workload) {
			targets = append(targets, pod.Name)
		}
	}
	return targets
}

// Attempts returns how many attempts of the stream are due in [0, until).
func (p Plan) Attempts(stream Stream, until time.Duration) int64 {
	if stream.Every <= 0 || until <= stream.Phase {
		return 0
	}
	return int64((until-stream.Phase-1)/stream.Every) + 1
}
