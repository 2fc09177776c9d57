package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/certquake/certquake/workloads/peer"
)

// tellRetry is the time between two attempts to reach a pod's admin port.
const tellRetry = 100 * time.Millisecond

// roster knows the pod that stands for each planned one, and follows the logs of all there were.
type roster struct {
	client kubernetes.Interface
	ledger *ledger
	ctx    context.Context //nolint:containedctx // of the followers, which outlive the calls

	mu        sync.Mutex
	current   map[string]*corev1.Pod // by planned pod
	followers map[types.UID]*follower
	newest    map[string]*follower // by planned pod
	changed   chan struct{}        // closed and replaced at each change
	welcome   func(pod string)     // is called in a goroutine for each pod that begins to run
	tasks     sync.WaitGroup
}

func newRoster(ctx context.Context, client kubernetes.Interface, l *ledger) *roster {
	return &roster{
		client: client, ledger: l, ctx: ctx,
		current: map[string]*corev1.Pod{}, followers: map[types.UID]*follower{},
		newest: map[string]*follower{}, changed: make(chan struct{}),
	}
}

// saw takes note of a pod as it is now.
func (r *roster) saw(pod *corev1.Pod) {
	planned := pod.Labels[labelPod]
	if planned == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if held := r.current[planned]; held == nil || held.UID == pod.UID ||
		held.CreationTimestamp.Before(&pod.CreationTimestamp) || held.DeletionTimestamp != nil {
		r.current[planned] = pod
	}
	close(r.changed)
	r.changed = make(chan struct{})
	if f := r.followers[pod.UID]; f != nil {
		f.restarts.Store(restarts(pod))
		return
	}
	if !started(pod) {
		return
	}
	f := &follower{
		client: r.client, namespace: pod.Namespace, name: pod.Name, uid: pod.UID,
		before: r.newest[planned], gone: make(chan struct{}), done: make(chan struct{}),
		take: func(row peer.Row, at time.Time) { r.ledger.take(planned, row, at) },
	}
	f.restarts.Store(restarts(pod))
	r.followers[pod.UID], r.newest[planned] = f, f
	r.tasks.Go(func() { f.follow(r.ctx) })
	if welcome := r.welcome; welcome != nil {
		r.tasks.Go(func() { welcome(planned) })
	}
}

// greet has welcome called for every pod that begins to run from now on.
func (r *roster) greet(welcome func(planned string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.welcome = welcome
}

// lost takes note that a pod is gone.
func (r *roster) lost(pod *corev1.Pod) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.followers[pod.UID]; f != nil {
		select {
		case <-f.gone:
		default:
			close(f.gone)
		}
	}
	planned := pod.Labels[labelPod]
	if held := r.current[planned]; held != nil && held.UID == pod.UID {
		delete(r.current, planned)
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// only takes note that there are no other pods than these.
func (r *roster) only(pods []*corev1.Pod) {
	exists := map[types.UID]bool{}
	for _, pod := range pods {
		exists[pod.UID] = true
	}
	r.mu.Lock()
	var gone []*corev1.Pod
	for _, pod := range r.current {
		if !exists[pod.UID] {
			gone = append(gone, pod)
		}
	}
	r.mu.Unlock()
	for _, pod := range gone {
		r.lost(pod)
	}
}

// pod returns the pod that stands for a planned one now, nil for none.
func (r *roster) pod(planned string) *corev1.Pod {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current[planned]
}

// readable reports whether the log of the planned pod can be read.
func (r *roster) readable(planned string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.newest[planned]
	return f != nil && f.readable.Load()
}

// tail returns the last foreign lines of a planned pod's log.
func (r *roster) tail(planned string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.newest[planned]; f != nil {
		return f.talk()
	}
	return nil
}

// whereabouts returns which node of the cluster each pod runs on.
func (r *roster) whereabouts() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	nodes := map[string]string{}
	for planned, pod := range r.current {
		nodes[planned] = pod.Spec.NodeName
	}
	return nodes
}

// guestList says of whereabouts which pods each node runs.
func guestList(whereabouts map[string]string) string {
	guests := map[string][]string{}
	for planned, node := range whereabouts {
		guests[node] = append(guests[node], planned)
	}
	var said []string
	for _, node := range slices.Sorted(maps.Keys(guests)) {
		slices.Sort(guests[node])
		said = append(said, node+" runs "+strings.Join(guests[node], ", "))
	}
	return strings.Join(said, "; ")
}

// await waits until ok says so of the pods, which it is asked of at each change.
func (r *roster) await(ctx context.Context, ok func() bool) error {
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		if ok() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tell posts a command to the pod that stands for a planned one, until it takes it or ctx is done.
func (r *roster) tell(ctx context.Context, planned, path string, command any) (peer.Status, error) {
	var status peer.Status
	body, err := json.Marshal(command)
	if err != nil {
		return status, fmt.Errorf("encode %s: %w", path, err)
	}
	var problem error
	for {
		if pod := r.pod(planned); pod != nil && started(pod) {
			attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
			status, problem = post(attempt, r.client.CoreV1().RESTClient(), pod, path, body)
			cancel()
			if problem == nil {
				return status, nil
			}
		}
		pause := time.NewTimer(tellRetry)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			if problem == nil {
				problem = ctx.Err()
			}
			return status, fmt.Errorf("tell pod %s %s: %w", planned, path, problem)
		}
	}
}

// post sends one command through the API server's proxy.
func post(
	ctx context.Context, client rest.Interface, pod *corev1.Pod, path string, body []byte,
) (peer.Status, error) {
	var status peer.Status
	answer, err := client.Verb(http.MethodPost).Namespace(pod.Namespace).Resource("pods").
		Name(fmt.Sprintf("%s:%d", pod.Name, adminPort)).SubResource("proxy").
		Suffix(strings.TrimPrefix(path, "/")).SetHeader("Content-Type", "application/json").
		Body(body).DoRaw(ctx)
	if err != nil {
		return status, err
	}
	if err := json.Unmarshal(answer, &status); err != nil {
		return status, fmt.Errorf("answer of pod %s: %w", pod.Name, err)
	}
	return status, nil
}

// started reports whether the pod's container runs or has run.
func started(pod *corev1.Pod) bool {
	for _, s := range pod.Status.ContainerStatuses {
		if s.State.Running != nil || s.State.Terminated != nil || s.RestartCount > 0 {
			return true
		}
	}
	return false
}

func restarts(pod *corev1.Pod) int32 {
	for _, s := range pod.Status.ContainerStatuses {
		return s.RestartCount
	}
	return 0
}

// ready reports whether the pod is ready.
func ready(pod *corev1.Pod) bool {
	if pod == nil || pod.DeletionTimestamp != nil {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
