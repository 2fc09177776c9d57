package kube

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// What is seen while a world is watched reaches the ledger; nothing goes on after it was left.
func TestWatchAndLeave(t *testing.T) {
	t.Parallel()
	r, w, _ := newTestWorld(t)
	down := false
	w.target.Down = func(context.Context) error {
		down = true
		return nil
	}
	require.NoError(t, w.watch(t.Context()))
	second := stored(t, leafSecret, mint(t, r.root, "a.example", false), r.root)
	secrets := w.native.CoreV1().Secrets("default")
	_, err := secrets.Create(t.Context(), second, metav1.CreateOptions{})
	require.NoError(t, err)
	err = w.awaitSecrets(t.Context(), func() bool {
		return r.secrets[leafSecret].current().held.Leaf == "leaf/2"
	})
	require.NoError(t, err)
	pod := somePod("a-0", "1", base, false)
	pod.Labels[labelManaged] = managedBy
	_, err = w.native.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{})
	require.NoError(t, err)
	err = w.roster.await(t.Context(), func() bool { return w.roster.pod("a-0") != nil })
	require.NoError(t, err)
	require.NoError(t, w.leave(t.Context()))
	assert.True(t, down)

	_, err = secrets.Update(t.Context(), r.secrets[leafSecret].history[0].object,
		metav1.UpdateOptions{})
	require.NoError(t, err)
	assert.Equal(t, "leaf/2", w.current(leafSecret).held.Leaf, "nobody watches")
}

// Who leaves a world waits for what was being seen as it ended.
func TestLeaveWaitsForWatch(t *testing.T) {
	t.Parallel()
	r, w, _ := newTestWorld(t)
	w.target.Down = func(context.Context) error { return nil }
	require.NoError(t, w.watch(t.Context()))
	w.mu.Lock() // in which the handler will get stuck after it told the ledger
	second := stored(t, leafSecret, mint(t, r.root, "a.example", false), r.root)
	_, err := w.native.CoreV1().Secrets("default").Create(
		t.Context(), second, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return w.current(leafSecret).certs[0].Equal(certificates(second.Data[certKey])[0])
	}, 5*time.Second, time.Millisecond)
	left := make(chan error)
	go func() { left <- w.leave(t.Context()) }()
	select {
	case err := <-left:
		t.Error("the handler still runs", err)
		w.mu.Unlock()
	case <-time.After(50 * time.Millisecond):
		w.mu.Unlock()
		assert.NoError(t, <-left)
	}
}

// A new watch sees what became of Secrets and pods while nobody watched.
func TestWatchAgain(t *testing.T) {
	t.Parallel()
	r, w, _ := newTestWorld(t)
	w.target.Down = func(context.Context) error { return nil }
	secrets := w.native.CoreV1().Secrets("default")
	pods := w.native.CoreV1().Pods("default")
	_, err := secrets.Create(t.Context(), r.secrets[leafSecret].history[0].object,
		metav1.CreateOptions{})
	require.NoError(t, err)
	pod := somePod("a-0", "1", base, false)
	pod.Labels[labelManaged] = managedBy
	_, err = pods.Create(t.Context(), pod, metav1.CreateOptions{})
	require.NoError(t, err)
	require.NoError(t, w.watch(t.Context()))
	err = w.roster.await(t.Context(), func() bool { return w.roster.pod("a-0") != nil })
	require.NoError(t, err)
	w.unwatch()
	stored := w.native.(*fake.Clientset).Tracker() // unseen by the API that newTestWorld plays
	require.NoError(t, stored.Delete(corev1.SchemeGroupVersion.WithResource("secrets"),
		"default", strings.TrimPrefix(leafSecret, "default/")))
	require.NoError(t, pods.Delete(t.Context(), pod.Name, metav1.DeleteOptions{}))
	assert.NotNil(t, w.current(leafSecret), "nobody watches")

	require.NoError(t, w.watch(t.Context()))
	assert.Nil(t, w.current(leafSecret))
	assert.Nil(t, w.roster.pod("a-0"))
	require.NoError(t, w.leave(t.Context()))
}

func TestHandler(t *testing.T) {
	t.Parallel()
	var got []string
	h := handler(func(s *corev1.Secret) { got = append(got, "changed "+s.Name) },
		func(s *corev1.Secret) { got = append(got, "gone "+s.Name) })
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "x"}}
	h.OnAdd(s, false)
	h.OnUpdate(nil, s)
	h.OnDelete(s)
	h.OnDelete(cache.DeletedFinalStateUnknown{Key: "default/x", Obj: s})
	h.OnAdd(&corev1.Pod{}, false)
	assert.Equal(t, []string{"changed x", "changed x", "gone x", "gone x"}, got)
}

// The actions of one fault wait for each other; those of another do not wait for them.
func TestDo(t *testing.T) {
	t.Parallel()
	r, w, _ := newTestWorld(t)
	blocked, done := make(chan struct{}), make(chan string, 3)
	w.target.Performs = map[scenarios.Verb]clusters.Perform{
		scenarios.StopIssuer: func(context.Context, scenarios.Action) (string, error) {
			<-blocked
			done <- "stopped"
			return "it is out of order", nil
		},
		scenarios.StartIssuer: func(_ context.Context, a scenarios.Action) (string, error) {
			done <- "started"
			if a.Fault == 1 {
				return "", errors.New("no")
			}
			return "it works again", nil
		},
	}
	do := func(id string, fault int, verb scenarios.Verb) {
		require.NoError(t, w.Do(t.Context(), scenarios.Action{ID: id, Fault: fault, Verb: verb}))
	}
	do("stop", 0, scenarios.StopIssuer)
	do("start", 0, scenarios.StartIssuer)
	do("other", 1, scenarios.StartIssuer)
	do("unknown", 2, scenarios.StopWebhook)
	assert.Equal(t, "started", <-done)
	close(blocked)
	assert.Equal(t, "stopped", <-done)
	assert.Equal(t, "started", <-done)
	require.Eventually(t, func() bool { return len(proofs(r)) == 2 }, time.Second, time.Millisecond)
	assert.Equal(t, []string{
		"stop: cert-manager: it is out of order", "start: cert-manager: it works again",
	}, proofs(r))
	assert.Len(t, r.out.of(record.Act), 4, "accepted, whatever came of it")
}

// A kubelet that is held lets no words through; the end of a run lets it go.
func TestHold(t *testing.T) {
	t.Parallel()
	_, w, _ := newTestWorld(t)
	var undone []string
	say := func(_ context.Context, a scenarios.Action) (string, error) {
		undone = append(undone, string(a.Verb)+" "+a.Node)
		return "seen", nil
	}
	w.target.Performs = map[scenarios.Verb]clusters.Perform{
		scenarios.PauseSync: say, scenarios.ResumeSync: say,
		scenarios.StopAPI: say, scenarios.StartAPI: say,
	}
	assert.True(t, w.readable("a-0"), "it is gone, and read")
	w.roster.saw(somePod("a-0", "1", base, false))
	assert.False(t, w.readable("a-0"), "nobody reads it yet")
	f := &follower{}
	f.readable.Store(true)
	w.roster.newest["a-0"] = f
	assert.True(t, w.readable("a-0"))
	pause := scenarios.Action{ID: "p", Verb: scenarios.PauseSync, Node: "fast"}
	require.NoError(t, w.perform(t.Context(), pause))
	assert.False(t, w.readable("a-0"))
	require.NoError(t, w.perform(t.Context(), scenarios.Action{ID: "s", Verb: scenarios.StopAPI}))
	w.putBack(t.Context())
	assert.True(t, w.readable("a-0"))
	assert.Equal(t,
		[]string{"pause-sync fast", "stop-api ", "start-api ", "resume-sync fast"}, undone)
}

func TestSleep(t *testing.T) {
	t.Parallel()
	r, w, _ := newTestWorld(t)
	until := w.base.Add(50 * time.Millisecond)
	require.NoError(t, w.Sleep(t.Context(), 50*time.Millisecond))
	assert.False(t, time.Now().Before(until))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, w.Sleep(ctx, time.Hour), context.Canceled)

	broken := make(chan struct{})
	close(broken)
	w.target.Broken, w.target.Cause = broken, func() error { return errors.New("etcd died") }
	err := w.Sleep(t.Context(), time.Hour)
	require.ErrorIs(t, err, harness.ErrBroken)
	require.ErrorContains(t, err, "etcd died")

	w.sink = brokenSink{errors.New("disk full")}
	r.act(scenarios.Action{}, w.base.Add(-time.Minute))
	w.base = w.base.Add(-time.Minute)
	assert.EqualError(t, w.Sleep(t.Context(), time.Hour), "disk full")
}

func TestInsist(t *testing.T) {
	t.Parallel()
	away := errors.New("connection refused")
	n := 0
	require.NoError(t, insist(t.Context(), func() error {
		if n++; n < 2 {
			return away
		}
		return nil
	}))
	assert.Equal(t, 2, n)
	gone := apierrors.NewNotFound(corev1.Resource("secrets"), "x")
	assert.Equal(t, gone, insist(t.Context(), func() error { return gone }))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.Equal(t, away, insist(ctx, func() error { return away }))
}
