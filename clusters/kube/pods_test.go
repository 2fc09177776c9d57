package kube

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/peer"
)

// newTestRoster returns a roster on the API server.
func newTestRoster(t *testing.T, api *podAPI) *roster {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := newRoster(ctx, api.serve(t), newLedger(smallPlan()))
	t.Cleanup(func() {
		cancel()
		r.tasks.Wait()
	})
	return r
}

// The pod that stands for a planned one is the newest, but for one that is going.
func TestRosterReplacement(t *testing.T) {
	t.Parallel()
	r := newTestRoster(t, &podAPI{})
	old := somePod("a-0", "1", base, false)
	r.saw(old)
	assert.Equal(t, old, r.pod("a-0"))
	assert.Nil(t, r.pod("a-1"))
	r.saw(&corev1.Pod{})
	going := old.DeepCopy()
	going.DeletionTimestamp = &metav1.Time{Time: base}
	r.saw(going)
	fresh := somePod("a-0", "2", base, false)
	r.saw(fresh)
	assert.Equal(t, fresh, r.pod("a-0"), "made in the same second")
	r.saw(going)
	assert.Equal(t, fresh, r.pod("a-0"), "the old one still has news")
	r.lost(going)
	assert.Equal(t, fresh, r.pod("a-0"))
	r.lost(fresh)
	assert.Nil(t, r.pod("a-0"))
}

// A pod's log is read after its predecessor's, and whoever begins to run is welcomed once.
func TestRosterFollows(t *testing.T) {
	t.Parallel()
	api := &podAPI{logs: []answer{
		{lines: []string{logged(t, 1, bootA, 1)}},
		{status: http.StatusNotFound},
	}}
	r := newTestRoster(t, api)
	r.ledger.begin(base)
	welcomed := make(chan string, 10)
	r.greet(func(planned string) { welcomed <- planned })
	pod := somePod("a-0", "1", base, true)
	r.saw(pod)
	r.saw(pod)
	r.saw(somePod("a-1", "2", base, false))
	assert.Equal(t, "a-0", <-welcomed)
	next := somePod("a-0", "3", base.Add(time.Second), true)
	r.saw(next)
	assert.Equal(t, "a-0", <-welcomed)
	first, second := r.followers["1"], r.followers["3"]
	select {
	case <-second.done:
		t.Error("it does not wait for its predecessor")
	case <-time.After(10 * time.Millisecond):
	}
	r.lost(pod)
	r.lost(pod) // as after a missed event
	<-first.done
	r.lost(next)
	<-second.done
	assert.Empty(t, welcomed)
	assert.False(t, r.readable("a-0"))
	assert.False(t, r.readable("a-2"), "there is none")
	assert.Nil(t, r.tail("a-2"))
	var out rows
	require.NoError(t, r.ledger.flush(time.Minute, &out))
	assert.Len(t, out.of(record.Clock), 1)
}

// A command is repeated until the pod takes it.
func TestTell(t *testing.T) {
	t.Parallel()
	api := &podAPI{tell: func(n int, w http.ResponseWriter) {
		switch n {
		case 1:
			refuse(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable)
		case 2:
			_, _ = w.Write([]byte("no JSON"))
		default:
			_ = json.NewEncoder(w).Encode(peer.Status{Boot: bootA, Skew: time.Minute})
		}
	}}
	r := newTestRoster(t, api)
	told := make(chan peer.Status)
	go func() {
		status, err := r.tell(t.Context(), "a-0", peer.PathClock, peer.Clock{Skew: time.Minute})
		assert.NoError(t, err)
		told <- status
	}()
	r.saw(somePod("a-0", "1", base, false)) // it is not told before it runs
	r.saw(somePod("a-0", "1", base, true))
	assert.Equal(t, time.Minute, (<-told).Skew)
	const command = "POST /api/v1/namespaces/default/pods/a-0-1:7480/proxy/clock map[skew_ns:6e+10]"
	assert.Equal(t, []string{command, command, command}, api.told)
}

func TestTellEnds(t *testing.T) {
	t.Parallel()
	api := &podAPI{tell: func(_ int, w http.ResponseWriter) {
		refuse(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable)
	}}
	r := newTestRoster(t, api)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := r.tell(ctx, "a-0", peer.PathBegin, peer.Begin{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "tell pod a-0 /begin: ")

	r.saw(somePod("a-0", "1", base, true))
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = r.tell(ctx, "a-0", peer.PathBegin, peer.Begin{})
	assert.ErrorContains(t, err, "tell pod a-0 /begin: ")
}

func TestAwaitPods(t *testing.T) {
	t.Parallel()
	r := newTestRoster(t, &podAPI{})
	seen := make(chan error)
	go func() {
		seen <- r.await(t.Context(), func() bool { return r.pod("a-0") != nil })
	}()
	r.saw(somePod("a-0", "1", base, false))
	require.NoError(t, <-seen)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, r.await(ctx, func() bool { return false }), context.Canceled)
}

func TestReady(t *testing.T) {
	t.Parallel()
	pod := somePod("a-0", "1", base, true)
	assert.False(t, ready(nil))
	assert.False(t, ready(pod))
	pod.Status.Conditions = []corev1.PodCondition{{
		Type: corev1.PodReady, Status: corev1.ConditionTrue,
	}}
	assert.True(t, ready(pod))
	pod.DeletionTimestamp = &metav1.Time{Time: base}
	assert.False(t, ready(pod), "it is going")

	assert.False(t, hopeless(pod))
	pod.Status.ContainerStatuses[0].State = corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull"},
	}
	assert.False(t, hopeless(pod), "it is tried again")
	pod.Status.ContainerStatuses[0].State.Waiting.Reason = "ImagePullBackOff"
	assert.True(t, hopeless(pod))
	assert.False(t, started(pod))
	pod.Status.ContainerStatuses[0].RestartCount = 2
	assert.True(t, started(pod))
	assert.Equal(t, int32(2), restarts(pod))
}

// Clocks that are told are proved by what the process says; one that was so already proves nothing.
func TestSetClocks(t *testing.T) {
	t.Parallel()
	api := &podAPI{tell: func(n int, w http.ResponseWriter) {
		_ = json.NewEncoder(w).Encode(peer.Status{Skew: time.Duration(min(n, 2)) * time.Minute})
	}}
	r, w, _ := newTestWorld(t)
	w.roster = newTestRoster(t, api)
	w.roster.saw(somePod("a-0", "1", base, true))
	w.roster.saw(somePod("a-1", "2", base, true))
	set := scenarios.Action{
		ID: "skew", Verb: scenarios.SetClock, Pods: []string{"a-0"}, Skew: time.Minute,
	}
	require.NoError(t, w.perform(t.Context(), set))
	require.NoError(t, w.perform(t.Context(), set))
	assert.Equal(t, []string{"skew: a-0: its process clock is off by 1m0s"}, proofs(r))
	set.Pods = []string{"a-1"}
	require.EqualError(t, w.perform(t.Context(), set), "pod a-1 says that its clock is off by 2m0s")
	assert.Len(t, proofs(r), 1)
}
