package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/peer"
)

// answer is what one request for a log gets.
type answer struct {
	status int // 0 is 200
	lines  []string
	torn   bool     // it breaks in the middle of what it says next
	until  chan any // it stays open so long
}

// podAPI is an API server that knows the logs of pods and passes their commands on.
type podAPI struct {
	mu       sync.Mutex
	logs     []answer // to requests for the current container's log, in turn; the last one stays
	previous []answer
	asked    []string // the queries
	told     []string // paths and bodies of commands
	tell     func(n int, w http.ResponseWriter)
}

// serve starts the API server and returns a client of it.
func (a *podAPI) serve(t *testing.T) kubernetes.Interface {
	t.Helper()
	return clientOf(t, a)
}

// clientOf starts a server and returns a client that takes it for an API server.
func clientOf(t *testing.T, api http.Handler) kubernetes.Interface {
	t.Helper()
	server := httptest.NewServer(api)
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	client, err := kubernetes.NewForConfig(
		&rest.Config{Host: server.URL, Transport: transport, QPS: -1})
	require.NoError(t, err)
	return client
}

func (a *podAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/log"):
		a.log(w, r)
	case strings.Contains(r.URL.Path, "/proxy/"):
		var body map[string]any
		_ = json.NewDecoder(r.Body).Decode(&body)
		a.mu.Lock()
		a.told = append(a.told, fmt.Sprint(r.Method, " ", r.URL.Path, " ", body))
		n := len(a.told)
		a.mu.Unlock()
		a.tell(n, w)
	default:
		refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound)
	}
}

func (a *podAPI) log(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	a.mu.Lock()
	from := &a.logs
	if query.Get("previous") == "true" {
		from = &a.previous
	}
	next := answer{status: http.StatusNotFound}
	if len(*from) > 0 {
		if next = (*from)[0]; len(*from) > 1 {
			*from = (*from)[1:]
		}
	}
	a.asked = append(a.asked, r.URL.RawQuery)
	a.mu.Unlock()
	switch next.status {
	case 0:
	case http.StatusNotFound:
		refuse(w, next.status, metav1.StatusReasonNotFound)
		return
	default:
		refuse(w, next.status, metav1.StatusReasonBadRequest)
		return
	}
	for _, line := range next.lines {
		_, _ = fmt.Fprintln(w, line)
	}
	_ = http.NewResponseController(w).Flush()
	if next.until != nil {
		select {
		case <-next.until:
		case <-r.Context().Done():
		}
	}
	if next.torn {
		_, _ = fmt.Fprint(w, `2026-11-21T12:00:09Z {"boot":"00000000`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

func (a *podAPI) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.asked)
}

func refuse(w http.ResponseWriter, code int, reason metav1.StatusReason) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Reason: reason, Code: int32(code),
	})
}

// logged is a line of a pod's log: a row as the second'th one wrote it.
func logged(t *testing.T, second int, boot string, seq uint64) string {
	t.Helper()
	at := time.Duration(second) * time.Second
	text, err := json.Marshal(peer.Row{Boot: boot, Seq: seq, Span: record.Span{
		Kind: record.Clock, From: at, To: at, Source: "a-0", Outcome: record.OK,
	}})
	require.NoError(t, err)
	return base.Add(at).Format(time.RFC3339Nano) + " " + string(text)
}

// The boots of two processes, as rows may have them.
const (
	bootA = "00000000000000aa"
	bootB = "00000000000000bb"
)

// follow has a follower read until its pod is gone, after so many requests for a log. It returns
// what it took, and its talk.
func follow(t *testing.T, api *podAPI, restarts int32, requests int) (taken, talk []string) {
	t.Helper()
	f := &follower{
		client: api.serve(t), namespace: "default", name: "a-0-x", uid: "1",
		gone: make(chan struct{}), done: make(chan struct{}),
		take: func(row peer.Row, _ time.Time) {
			taken = append(taken, fmt.Sprintf("%s/%d", row.Boot[14:], row.Seq))
		},
	}
	f.restarts.Store(restarts)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	go func() {
		for api.count() < requests && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		close(f.gone)
	}()
	f.follow(ctx)
	require.NoError(t, ctx.Err(), "it ended by itself")
	assert.False(t, f.readable.Load())
	return taken, f.talk()
}

// A stream that breaks in the middle of a line is taken up a little before, until the pod is gone.
func TestFollowBrokenStream(t *testing.T) {
	t.Parallel()
	api := &podAPI{logs: []answer{
		{status: http.StatusBadRequest}, // the container is being made
		{lines: []string{
			"2026-11-21T12:00:00Z time=x level=INFO msg=up", logged(t, 1, bootA, 1),
			logged(t, 8, bootA, 2),
		}, torn: true},
		{lines: []string{logged(t, 8, bootA, 2), logged(t, 9, bootA, 3)}},
		{status: http.StatusNotFound},
	}}
	taken, talk := follow(t, api, 0, 5)
	assert.Equal(t, []string{"aa/1", "aa/2", "aa/2", "aa/3"}, taken)
	require.Len(t, talk, 2, "with the torn line")
	assert.Equal(t, "time=x level=INFO msg=up", talk[0])
	api.mu.Lock()
	defer api.mu.Unlock()
	assert.Equal(t, "container=peer&follow=true&timestamps=true", api.asked[0])
	var since []string
	for _, query := range api.asked {
		if strings.Contains(query, "since") && !strings.Contains(query, "previous") {
			since = append(since, query)
		}
	}
	assert.Equal(t, "container=peer&follow=true&sinceTime=2026-11-21T12%3A00%3A04Z&timestamps=true",
		since[0], "the overlap, before the last line")
}

// What a container left that restarted while its log could not be read comes before what its
// successor tells, whether or not the restart was seen yet.
func TestFollowPreviousContainer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		restarts int32
		logs     []answer
		previous []answer
		want     []string
	}{
		{
			"while the stream was broken", 0,
			[]answer{
				{lines: []string{logged(t, 1, bootA, 1)}, torn: true},
				{lines: []string{logged(t, 5, bootB, 1)}},
				{status: http.StatusNotFound},
			},
			[]answer{
				{lines: []string{logged(t, 1, bootA, 1), logged(t, 2, bootA, 2)}},
				{status: http.StatusBadRequest},
			},
			[]string{"aa/1", "aa/1", "aa/2", "bb/1"},
		},
		{
			"before there was a stream", 1,
			[]answer{{lines: []string{logged(t, 5, bootB, 1)}}, {status: http.StatusNotFound}},
			[]answer{{lines: []string{logged(t, 2, bootA, 2)}}, {status: http.StatusBadRequest}},
			[]string{"aa/2", "bb/1"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			api := &podAPI{logs: tt.logs, previous: tt.previous}
			taken, _ := follow(t, api, tt.restarts, 5)
			assert.Equal(t, tt.want, taken)
		})
	}
}

// A log is readable while its stream is open; the follower ends with the world.
func TestFollowEndsWithWorld(t *testing.T) {
	t.Parallel()
	api := &podAPI{logs: []answer{
		{lines: []string{logged(t, 1, bootA, 1)}, until: make(chan any)},
	}}
	ctx, cancel := context.WithCancel(t.Context())
	before := &follower{done: make(chan struct{})}
	got := make(chan peer.Row, 1)
	f := &follower{
		client: api.serve(t), namespace: "default", name: "a-0-x", before: before,
		gone: make(chan struct{}), done: make(chan struct{}),
		take: func(row peer.Row, _ time.Time) { got <- row },
	}
	go f.follow(ctx)
	close(before.done)
	assert.Equal(t, uint64(1), (<-got).Seq)
	assert.True(t, f.readable.Load())
	cancel()
	<-f.done

	waiting := &follower{before: &follower{done: make(chan struct{})}, done: make(chan struct{})}
	waiting.follow(ctx)
	<-waiting.done
}

func TestFollowerTail(t *testing.T) {
	t.Parallel()
	f := &follower{}
	for i := range tailKept + 5 {
		f.line(fmt.Sprintf("2026-11-21T12:00:00Z line %d", i))
	}
	assert.Len(t, f.talk(), tailKept)
	assert.Equal(t, "line 5", f.talk()[0])
}

// somePod is a pod that stands for a planned one.
func somePod(planned, uid string, created time.Time, running bool) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: planned + "-" + uid, Namespace: "default", UID: types.UID(uid),
		Labels: map[string]string{labelPod: planned}, CreationTimestamp: metav1.NewTime(created),
	}}
	if running {
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		}}
	}
	return pod
}
