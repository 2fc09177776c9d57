package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/peer"
)

// The bounds of a comparison of clocks.
const (
	clockAsks  = 8 // questions to each pod
	clockPods  = 3 // pods that are asked on each node
	clockLimit = 500 * time.Millisecond
	// clockPatience is the limit before offset 0, which pods are told by this comparison.
	clockPatience = 3 * time.Second
)

// clocks is what the first comparison of each node's clock with the harness's gave. Its zero value
// has compared none.
//
// The harness's clock is an instant and what has passed since, whatever is done to its wall clock
// meanwhile. A pod that answers read its node's clock between the question and the answer. Taken
// for their middle, that instant is wrong by at most half the round trip, however unequal the two
// ways are; the exchange with the shortest round trip counts (Cristian 1989, Probabilistic clock
// synchronization).
type clocks struct {
	mu    sync.Mutex
	first map[string]record.Span // by node, its name in the cluster
}

// comparison is how far a clock is ahead of the harness's.
type comparison struct {
	ahead   time.Duration
	within  time.Duration // what ahead is certain to
	pod     *corev1.Pod   // that told
	answers int           // the exchanges that it is the best of
	problem error         // why there are none
}

// compareClocks returns a row for every node that pods run on, or ran on: how its clock compares
// with the harness's, which was 0 at zero. It takes as long as the limit at most and never fails: a
// node that could not be asked has a row that says so.
func (w *world) compareClocks(
	ctx context.Context, zero time.Time, limit time.Duration,
) []record.Span {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	pods := w.roster.byNode()
	w.clocks.mu.Lock()
	defer w.clocks.mu.Unlock()
	for node := range w.clocks.first {
		if _, runs := pods[node]; !runs {
			pods[node] = nil
		}
	}
	rows := w.roster.compare(ctx, zero, pods)
	w.clocks.keep(rows)
	return rows
}

// keep remembers rows of nodes that had none.
func (c *clocks) keep(rows []record.Span) {
	if c.first == nil {
		c.first = map[string]record.Span{}
	}
	for _, row := range rows {
		if _, known := c.first[row.Source]; !known {
			c.first[row.Source] = row
		}
	}
}

// beginOf returns when offset 0 is, as the clock of the planned pod's node shows it. A node that
// had no pod yet is compared first.
func (w *world) beginOf(ctx context.Context, planned string) time.Time {
	pod := w.roster.pod(planned)
	if pod == nil || pod.Spec.NodeName == "" {
		return w.base
	}
	node := pod.Spec.NodeName
	w.clocks.mu.Lock()
	defer w.clocks.mu.Unlock()
	if _, known := w.clocks.first[node]; !known {
		at := min(max(time.Since(w.base), 0), w.plan.Horizon)
		asking, cancel := context.WithTimeout(ctx, clockLimit)
		defer cancel()
		rows := w.roster.compare(asking, w.base, map[string][]*corev1.Pod{node: {pod}})
		w.clocks.keep(rows)
		w.ledger.compared(at, rows)
	}
	first := w.clocks.first[node]
	return w.base.Add(first.Correction())
}

// compared records comparisons of nodes' clocks.
func (l *ledger) compared(at time.Duration, rows []record.Span) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, row := range rows {
		row.From, row.To = at, at
		l.rows.put(row)
	}
}

// byNode returns the pods that run, by the node that they run on and in the order of their names.
func (r *roster) byNode() map[string][]*corev1.Pod {
	r.mu.Lock()
	defer r.mu.Unlock()
	nodes := map[string][]*corev1.Pod{}
	for _, planned := range slices.Sorted(maps.Keys(r.current)) {
		pod := r.current[planned]
		if node := pod.Spec.NodeName; node != "" && started(pod) && pod.DeletionTimestamp == nil {
			nodes[node] = append(nodes[node], pod)
		}
	}
	return nodes
}

// compare returns a row for each node, in the order of their names. It asks them all at once.
func (r *roster) compare(
	ctx context.Context, zero time.Time, nodes map[string][]*corev1.Pod,
) []record.Span {
	rows := make([]record.Span, len(nodes))
	var all sync.WaitGroup
	for i, node := range slices.Sorted(maps.Keys(nodes)) {
		all.Go(func() {
			pods := nodes[node]
			pods = pods[:min(len(pods), clockPods)]
			rows[i] = r.compareNode(ctx, zero, pods).row(node)
		})
	}
	all.Wait()
	return rows
}

// compareNode asks pods of one node, and returns the best of their answers.
func (r *roster) compareNode(
	ctx context.Context, zero time.Time, pods []*corev1.Pod,
) comparison {
	found := make([]comparison, len(pods))
	var all sync.WaitGroup
	for i, pod := range pods {
		all.Go(func() {
			found[i] = compareClock(zero, time.Now, func() (time.Time, error) {
				return askClock(ctx, r.client.CoreV1().RESTClient(), pod)
			})
			found[i].pod = pod
		})
	}
	all.Wait()
	if len(found) == 0 {
		return comparison{problem: errors.New("none runs there")}
	}
	best := slices.MinFunc(found, func(a, b comparison) int {
		return cmp.Compare(a.within, b.within)
	})
	best.answers = 0
	for _, one := range found {
		best.answers += one.answers
	}
	return best
}

// compareClock compares a clock that is asked with the harness's, which was 0 at zero and is read
// by now. It returns the best of clockAsks exchanges, or of those that got an answer.
func compareClock(
	zero time.Time, now func() time.Time, ask func() (time.Time, error),
) comparison {
	best := comparison{within: math.MaxInt64}
	for range clockAsks {
		asked := now()
		told, err := ask()
		within := (now().Sub(asked) + 1) / 2
		if err != nil {
			best.problem = err
			continue
		}
		best.answers++
		if within < best.within {
			harness := asked.Sub(zero) + within
			best.ahead, best.within = told.Sub(zero.Round(0))-harness, within
		}
	}
	return best
}

// askClock asks a pod for its node's clock.
func askClock(
	ctx context.Context, client rest.Interface, pod *corev1.Pod,
) (time.Time, error) {
	answer, err := client.Get().Namespace(pod.Namespace).Resource("pods").
		Name(fmt.Sprintf("%s:%d", pod.Name, adminPort)).SubResource("proxy").
		Suffix(strings.TrimPrefix(peer.PathStatus, "/")).DoRaw(ctx)
	if err != nil {
		return time.Time{}, err
	}
	var status peer.Status
	if err := json.Unmarshal(answer, &status); err != nil {
		return time.Time{}, fmt.Errorf("answer of pod %s: %w", pod.Name, err)
	}
	if status.Now.IsZero() {
		return time.Time{}, fmt.Errorf("pod %s does not know the question", pod.Name)
	}
	return status.Now, nil
}

// row returns what the record says of a node's clock.
func (c comparison) row(node string) record.Span {
	row := record.Span{Kind: record.NodeClock, Source: node, Outcome: record.OK}
	if c.answers == 0 {
		row.Outcome = record.Unreachable
		row.Detail = fmt.Sprintf("no pod on it told its clock: %v", c.problem)
		return row
	}
	row.Skew, row.Uncertainty = c.ahead, c.within
	row.Detail = fmt.Sprintf("the fastest of %d exchanges, with %s",
		c.answers, c.pod.Labels[labelPod])
	return row
}
