package kube

import (
	"bufio"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/certquake/certquake/workloads/peer"
)

const (
	// logRetry is the time between two attempts to open a log.
	logRetry = 200 * time.Millisecond
	// logOverlap is how much of a log is read again after its stream broke; rows carry numbers, so
	// those read twice are known.
	logOverlap = 5 * time.Second
	// logLine bounds one line of a log.
	logLine = 1 << 20
	// tailKept is how many foreign lines are kept to explain a pod that never becomes ready.
	tailKept = 10
)

// follower reads the log of one pod, over all its containers, until it is gone. It begins when the
// follower before it, of the pod's predecessor, has ended, so that rows come in order.
type follower struct {
	client    kubernetes.Interface
	take      func(row peer.Row, at time.Time)
	namespace string
	name      string
	uid       types.UID
	before    *follower // nil for none

	readable atomic.Bool   // its stream is open
	restarts atomic.Int32  // of the container
	gone     chan struct{} // closed when the pod is deleted
	done     chan struct{} // closed when everything was read

	last time.Time // of the last line
	mu   sync.Mutex
	tail []string // foreign lines
}

// follow reads until the pod is gone or ctx is done.
func (f *follower) follow(ctx context.Context) {
	defer close(f.done)
	if f.before != nil {
		select {
		case <-f.before.done:
		case <-ctx.Done():
			return
		}
	}
	for first := true; ; first = false {
		if !first || f.restarts.Load() > 0 {
			_ = f.read(ctx, true) // what a container left that restarted while nobody listened
		}
		err := f.read(ctx, false)
		f.readable.Store(false)
		if ctx.Err() != nil {
			return
		}
		select {
		case <-f.gone:
			if err == nil || apierrors.IsNotFound(err) {
				return // read to its end
			}
		default:
		}
		pause := time.NewTimer(logRetry)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
	}
}

// read reads the log of the container, or of the one before it, to its end.
func (f *follower) read(ctx context.Context, previous bool) error {
	options := &corev1.PodLogOptions{
		Container: containerName, Follow: !previous, Previous: previous, Timestamps: true,
	}
	if !f.last.IsZero() {
		options.SinceTime = &metav1.Time{Time: f.last.Add(-logOverlap)}
	}
	stream, err := f.client.CoreV1().Pods(f.namespace).GetLogs(f.name, options).Stream(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	f.readable.Store(!previous)
	lines := bufio.NewScanner(stream)
	lines.Buffer(make([]byte, 0, 1<<16), logLine)
	for lines.Scan() {
		f.line(lines.Text())
	}
	if err := lines.Err(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// line takes one line: a row, or talk.
func (f *follower) line(line string) {
	stamp, text, _ := strings.Cut(line, " ")
	if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil {
		f.last = at
	}
	if row, err := peer.DecodeRow([]byte(text)); err == nil {
		f.take(row, time.Now())
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tail = append(f.tail, text); len(f.tail) > tailKept {
		f.tail = f.tail[1:]
	}
}

// talk returns the last foreign lines.
func (f *follower) talk() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.tail)
}
