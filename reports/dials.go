package reports

import (
	"slices"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// dials answers from the plan who is due to dial whom, and how often.
type dials struct {
	workloads []string             // of each planned pod
	replicas  map[string]int       // pods of each workload
	retries   []time.Duration      // of each planned pod, between attempts to associate
	streams   [][]scenarios.Stream // of each planned pod
	pairs     int                  // ordered pairs that dial
}

func newDials(plan scenarios.Plan) dials {
	d := dials{replicas: map[string]int{}, streams: make([][]scenarios.Stream, len(plan.Pods))}
	retry := map[string]time.Duration{}
	for _, group := range plan.Peers {
		retry[group.Workload] = group.Retry
	}
	number := make(map[string]int, len(plan.Pods))
	for i, pod := range plan.Pods {
		number[pod.Name] = i
		d.workloads = append(d.workloads, pod.Workload)
		d.retries = append(d.retries, retry[pod.Workload])
		d.replicas[pod.Workload]++
	}
	for _, stream := range plan.Streams {
		if i, ok := number[stream.Source]; ok {
			d.streams[i] = append(d.streams[i], stream)
		}
	}
	for i := range d.streams {
		d.pairs += d.peersOf(i)
	}
	return d
}

// peersOf returns how many distinct pods the pod dials. Its own store counts as one.
func (d *dials) peersOf(pod int) int {
	var dialled []string
	own := 0
	for _, stream := range d.streams[pod] {
		dialled = append(dialled, stream.To...)
		if stream.Op != scenarios.Calls {
			own = 1
		}
	}
	slices.Sort(dialled)
	return own + d.targets(pod, slices.Compact(dialled))
}

// targets returns how many pods of the workloads the pod can dial: all but itself.
func (d *dials) targets(pod int, workloads []string) int {
	total := 0
	for _, workload := range workloads {
		total += d.replicas[workload]
	}
	if slices.Contains(workloads, d.workloads[pod]) {
		total--
	}
	return total
}

// planned reports whether the number is of a pod of the plan.
func (d *dials) planned(pod int) bool { return pod >= 0 && pod < len(d.workloads) }

// pairEvery returns the time between two dials of the same ordered pair, 0 when it never dials.
func (d *dials) pairEvery(source, peer int) time.Duration {
	if !d.planned(source) || !d.planned(peer) {
		return 0
	}
	var shortest time.Duration
	for _, stream := range d.streams[source] {
		if !slices.Contains(stream.To, d.workloads[peer]) {
			continue
		}
		every := stream.Every * time.Duration(d.targets(source, stream.To))
		if shortest == 0 || every < shortest {
			shortest = every
		}
	}
	return shortest
}

// every returns the time between two attempts of a source at any peer.
func (d *dials) every(source int, association bool) time.Duration {
	if association {
		return d.retry(source)
	}
	if !d.planned(source) || len(d.streams[source]) == 0 {
		return 0
	}
	shortest := d.streams[source][0].Every
	for _, stream := range d.streams[source][1:] {
		shortest = min(shortest, stream.Every)
	}
	return shortest
}

// interval returns the time between two attempts of a course: of all streams of reads together, or
// of writes, and as every otherwise.
func (d *dials) interval(of course) time.Duration {
	op, accesses := map[record.Kind]scenarios.Op{
		record.Read: scenarios.Reads, record.Seal: scenarios.Writes,
	}[of.kind]
	if !accesses || !d.planned(of.source) {
		return d.every(of.source, false)
	}
	rate := 0.0
	for _, stream := range d.streams[of.source] {
		if stream.Op == op {
			rate += 1 / float64(stream.Every)
		}
	}
	if rate == 0 {
		return 0
	}
	return time.Duration(1 / rate)
}

// retry returns the time between a pod's attempts to re-establish an association.
func (d *dials) retry(source int) time.Duration {
	if !d.planned(source) {
		return 0
	}
	return d.retries[source]
}

// calledEvery returns how long it takes at most until a pod of the workload is dialled again, 0
// when nobody ever dials it.
func (d *dials) calledEvery(workload string) time.Duration {
	var shortest time.Duration
	peer := slices.Index(d.workloads, workload)
	for source := range d.streams {
		every := d.pairEvery(source, peer)
		if every > 0 && (shortest == 0 || every < shortest) {
			shortest = every
		}
	}
	return shortest
}

// loaded reports for each planned pod whether it dials or is dialled, or holds associations.
func (d *dials) loaded(plan scenarios.Plan) []bool {
	busy := map[string]bool{}
	for _, group := range plan.Peers {
		busy[group.Workload] = associates(group)
	}
	loaded := make([]bool, len(plan.Pods))
	for i, streams := range d.streams {
		for _, stream := range streams {
			loaded[i] = true
			for _, workload := range stream.To {
				busy[workload] = true
			}
		}
	}
	for i, workload := range d.workloads {
		loaded[i] = loaded[i] || busy[workload]
	}
	return loaded
}

// associates reports whether the pods of the group keep long-lived associations.
func associates(group scenarios.PeerGroup) bool {
	return group.Associations != "" && group.Associations != "none"
}
