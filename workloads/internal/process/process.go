package process

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/certquake/certquake/harness/record"
)

// The limits of ending.
const (
	GraceMax = time.Second // for attempts under way when the process ends
	killed   = 137         // the exit code of SIGKILL
)

// Role is what a process is to others.
type Role interface {
	// Begin is called at offset 0 of a process that pretends to have run for long: it takes into
	// use what it would have by then. Another process takes it when it is asked for.
	Begin(ctx context.Context)
	// Serve serves those who connect until the listener is closed, and returns when all of that has
	// ended. What it has under way may go on until attempts is done.
	Serve(running, attempts context.Context, listener net.Listener)
	// Run does everything else from an offset on, until running is done.
	Run(running, attempts context.Context, from time.Duration)
	// Attempt makes one attempt of a stream that was due at an offset. Its success is added, its
	// failure is a row.
	Attempt(ctx context.Context, target *Target, due time.Duration, good *Successes)
}

// Kit is what a role works with.
type Kit struct {
	Settings *Settings
	Clock    *Clock
	Rows     *Rows
	Log      *slog.Logger
	Metrics  *Metrics
	Volume   *Volume
	Reloads  *Reloads
	Gate     *Gate
	// Started is closed when the process has begun in its own eyes: there is an offset, and others
	// may be served.
	Started <-chan struct{}
}

// process is one process of a pod.
type process struct {
	settings *Settings
	kit      *Kit
	role     Role
	boot     string
	log      *slog.Logger
	exit     func(code int)
	streams  []*stream

	mu      sync.Mutex // guards what follows, which is constant once begun is closed, up to again
	state   saved      // but for its skew
	resumed bool       // it goes on from another process of this pod
	fresh   bool
	begun   chan struct{} // closed when offset 0 is known
	again   bool          // it was told to end for the kubelet to start it again
	down    time.Duration // of the next one
	ending  bool
	stopped time.Duration // when scheduling ended
	others  net.Listener  // once there is one

	started chan struct{} // closed as Kit.Started
	ready   atomic.Bool
	stop    context.CancelFunc // ends the running
}

// Run is a process from its start to its end, in the role that is made of its kit and the context
// of attempts. It returns nil after ctx is done or a Restart ended it gracefully; a Restart that
// kills does not return but exits the program with code 137. It blocks all the while.
//
// Its error is the role's, or wraps what kept it from listening. No goroutine is left behind,
// unless stdout or stderr itself never returns from a Write.
func Run(
	ctx context.Context, s Settings, stdout, stderr io.Writer,
	role func(attempts context.Context, kit *Kit) (Role, error),
) error {
	attempts, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	running, stop := context.WithCancel(attempts)
	defer stop()
	p := newProcess(s, stdout, stderr)
	p.exit, p.stop = os.Exit, stop
	made, err := role(attempts, p.kit)
	if err != nil {
		p.kit.Rows.close()
		return err
	}
	p.play(made)
	defer context.AfterFunc(ctx, p.end)()
	p.log.InfoContext(ctx, "up", "mount", s.Mount, "listen", s.Listen, "admin", s.Admin)
	err = p.live(running, attempts, cancel)
	if !p.kit.Rows.close() {
		p.log.WarnContext(ctx, "standard output is stuck: rows are lost")
	}
	return err
}

// newProcess makes the parts of a process. Nothing runs yet but the writer of rows.
func newProcess(s Settings, stdout, stderr io.Writer) *process {
	p := &process{
		settings: &s, boot: newBoot(), begun: make(chan struct{}), started: make(chan struct{}),
	}
	p.log = slog.New(slog.NewTextHandler(stderr, nil)).With("pod", s.Pod, "boot", p.boot)
	metrics := newMetrics()
	p.kit = &Kit{
		Settings: p.settings, Clock: &Clock{}, Log: p.log, Metrics: metrics,
		Rows: newRows(stdout, p.boot, s.Horizon, p.log, metrics),
		Gate: &Gate{limit: s.Horizon}, Started: p.started,
	}
	p.kit.Volume = newVolume(p.kit)
	p.kit.Reloads = &Reloads{kit: p.kit}
	return p
}

// Began returns the kit of a process that has begun, to measure a role by itself, and a function
// that ends it.
func Began(s Settings, stdout, stderr io.Writer) (kit *Kit, end func()) {
	p := newProcess(s, stdout, stderr)
	p.begin(saved{Base: time.Now()}, true)
	return p.kit, func() { p.kit.Rows.close() }
}

// play gives the process its role.
func (p *process) play(role Role) {
	p.role = role
	underWay := new(atomic.Int64)
	for _, plan := range p.settings.Streams {
		p.streams = append(p.streams, &stream{
			plan: plan, kit: p.kit, role: role, underWay: underWay,
		})
	}
}

// newBoot returns the random name of a process.
func newBoot() string {
	var name [8]byte
	_, _ = rand.Read(name[:]) // never fails, by its contract
	return hex.EncodeToString(name[:])
}

// live opens the admin port, is down for as long as the process before this one was told, and then
// plays its role until running is done.
func (p *process) live(running, attempts context.Context, cancel context.CancelFunc) error {
	listening := net.ListenConfig{KeepAliveConfig: KeepAlive()}
	admin, err := listening.Listen(attempts, "tcp", p.settings.Admin)
	if err != nil {
		return fmt.Errorf("listen for commands: %w", err)
	}
	web := &http.Server{
		Handler: p.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 10 * time.Second,
		ErrorLog:     slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = web.Serve(admin) })
	defer serving.Wait()
	defer ShutDown(attempts, web)
	if !p.resume(running) {
		return p.leave()
	}
	others, err := listening.Listen(attempts, "tcp", p.settings.Listen)
	if err != nil {
		return fmt.Errorf("listen for %s: %w", p.settings.Others, err)
	}
	serving.Go(func() { p.role.Serve(running, attempts, others) })
	p.listening(others)
	serving.Go(func() {
		<-running.Done()
		Wait(attempts, GraceMax)
		cancel()
	})
	select {
	case <-p.begun:
		p.perform(running, attempts, cancel)
	case <-running.Done():
		cancel()
	}
	return p.leave()
}

// listening makes the process ready, or unready at once when it was ended meanwhile.
func (p *process) listening(others net.Listener) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.others = others
	p.ready.Store(!p.ending)
	if p.ending {
		_ = others.Close()
	}
}

// ShutDown ends a server and lets an answer under way go out.
func ShutDown(ctx context.Context, web *http.Server) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), GraceMax)
	defer cancel()
	if web.Shutdown(ctx) != nil {
		_ = web.Close()
	}
}

// resume goes on from where the process before this one left. It waits while the pod is to be down
// and reports false when the process is ended meanwhile.
func (p *process) resume(running context.Context) bool {
	before, err := load(p.settings.State)
	if err != nil {
		p.log.WarnContext(running, "waiting to be told instead", "error", err)
	}
	if !before.Base.IsZero() {
		p.mu.Lock()
		p.resumed = true
		p.kit.Reloads.resume(before.Used)
		p.begin(before, false)
		p.mu.Unlock()
	}
	return Wait(running, time.Until(before.DownUntil)) && running.Err() == nil
}

// begin makes offset 0 known, for the first time. The caller holds the lock.
func (p *process) begin(s saved, fresh bool) {
	p.setSkew(s.Skew)
	p.kit.Clock.begin(s.Base)
	p.state, p.fresh = s, fresh
	p.state.DownUntil = time.Time{}
	close(p.begun)
}

func (p *process) setSkew(skew time.Duration) {
	p.kit.Clock.skew.Store(int64(skew))
	p.kit.Metrics.setSkew(skew)
}

// hasBegun reports whether offset 0 is known.
func (p *process) hasBegun() bool {
	select {
	case <-p.begun:
		return true
	default:
		return false
	}
}

// end has the process end: scheduling stops in this instant. It stops listening before it closes
// any connection, or a peer that lost one might find the process there still.
func (p *process) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending {
		return
	}
	p.ending = true
	if p.hasBegun() {
		p.stopped = p.kit.Gate.close(p.kit.Clock.Offset)
	}
	p.ready.Store(false)
	if p.others != nil {
		_ = p.others.Close()
	}
	p.stop()
}

// perform is the process from when it knows offset 0 until running is done and all that it had
// under way has come to an end.
func (p *process) perform(running, attempts context.Context, cancel context.CancelFunc) {
	if p.fresh && !p.kit.Clock.Sleep(running, 0) {
		cancel()
		return // it ended before offset 0: nothing of it is to be told
	}
	var schedules, background sync.WaitGroup
	p.start(running, attempts, &schedules, &background)
	finished := p.kit.Clock.Sleep(running, p.settings.Horizon)
	if finished {
		p.kit.Volume.end(true)
	}
	schedules.Wait()
	p.kit.Gate.drain()
	p.flush()
	if finished = finished && p.kit.Gate.End() == p.settings.Horizon; finished {
		p.kit.Rows.Put(Row{Span: record.Span{
			Kind: record.End, From: p.settings.Horizon, To: p.settings.Horizon,
		}})
		p.log.InfoContext(running, "horizon reached")
	}
	<-running.Done()
	cancel()
	background.Wait()
	if !finished {
		p.farewell()
	}
}

// start has everything begin. A fresh process holds what it works with from offset 0 on; another
// one loads it when it is asked for.
func (p *process) start(
	running, attempts context.Context, schedules, background *sync.WaitGroup,
) {
	now := time.Duration(0)
	if p.fresh {
		p.kit.Volume.begin(func(string) bool { return false })
		p.role.Begin(running)
	} else {
		now = p.kit.Clock.Offset()
		p.kit.Volume.begin(p.hasRead)
		p.kit.Rows.Tell(Row{Due: p.due(now), Span: record.Span{
			Kind: record.Up, From: now, To: now, Source: p.settings.Pod,
		}})
	}
	p.log.InfoContext(running, "begun", "offset", now, "fresh", p.fresh)
	close(p.started)
	for _, s := range p.streams {
		schedules.Go(func() { s.run(running, attempts, s.plan.dueBefore(now)) })
	}
	background.Go(func() { p.role.Run(running, attempts, now) })
	background.Go(func() { p.flushing(running) })
}

// due returns the index of the first attempt of each stream from an offset on.
func (p *process) due(now time.Duration) []int64 {
	var due []int64
	for _, s := range p.streams {
		due = append(due, s.plan.dueBefore(min(now, p.settings.Horizon)))
	}
	return due
}

// hasRead reports whether a process of this pod has read a version of the volume, as far as is
// known: one that was not told to end left no word, and had read what there was as a rule. A pod
// whose first process this is has read nothing.
func (p *process) hasRead(version string) bool {
	return p.resumed && (p.state.Read == "" || p.state.Read == version)
}

// farewell writes the last rows of a process that ends before the horizon. A volume outlives its
// container, so content that nobody read may still be read by the process after this one.
func (p *process) farewell() {
	p.mu.Lock()
	at, again := p.stopped, p.again
	p.mu.Unlock()
	p.kit.Volume.end(!again)
	p.kit.Rows.Tell(Row{Span: record.Span{
		Kind: record.Down, From: at, To: at, Source: p.settings.Pod,
	}})
}

// leave keeps for the next process what it is to know, if there will be one.
func (p *process) leave() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log.Info("ended", "restart", p.again)
	if !p.again {
		return nil
	}
	return p.keep()
}

// keep saves the state of a process that is to be down. The caller holds the lock.
func (p *process) keep() error {
	next := p.state
	next.DownUntil = time.Now().Add(p.down)
	next.Read = p.kit.Volume.lastRead()
	next.Used = p.kit.Reloads.lastUsed()
	return next.save(p.settings.State)
}
