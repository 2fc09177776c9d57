package peer

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
	graceMax = time.Second // for attempts under way when the process ends
	killed   = 137         // the exit code of SIGKILL
)

// process is one process of a pod.
type process struct {
	config Config
	boot   string
	log    *slog.Logger
	exit   func(code int)

	clock        clock
	rows         *rows
	metrics      *metrics
	volume       *volume
	credentials  *credentials
	dialer       *dialer
	server       *server
	gate         gate
	streams      []*stream
	associations []*association

	mu      sync.Mutex // guards what follows, which is constant once begun is closed, up to again
	state   saved      // but for its skew
	resumed bool       // it goes on from another process of this pod
	fresh   bool
	begun   chan struct{} // closed when offset 0 is known
	again   bool          // it was told to end for the kubelet to start it again
	down    time.Duration // of the next one
	ending  bool
	stopped time.Duration // when scheduling ended
	peers   net.Listener  // once there is one

	started chan struct{} // closed when the process has begun in its own eyes: server may serve
	ready   atomic.Bool
	stop    context.CancelFunc // ends the running
}

// Run is a peer from its start to its end. It returns nil after ctx is done or a Restart ended it
// gracefully; a Restart that kills does not return but exits the program with code 137. It blocks
// all the while.
//
// Its error is a *ConfigError, or wraps what kept it from listening. No goroutine is left behind,
// unless stdout or stderr itself never returns from a Write.
func Run(ctx context.Context, config Config, stdout, stderr io.Writer) error {
	return run(ctx, config, stdout, stderr, os.Exit)
}

func run(
	ctx context.Context, config Config, stdout, stderr io.Writer, exit func(code int),
) error {
	if err := config.check(); err != nil {
		return err
	}
	attempts, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	running, stop := context.WithCancel(attempts)
	defer stop()
	p := newProcess(attempts, config, stdout, stderr)
	p.exit, p.stop = exit, stop
	defer context.AfterFunc(ctx, p.end)()
	p.log.InfoContext(ctx, "up", "mount", config.Mount, "listen", config.Listen,
		"admin", config.Admin)
	err := p.live(running, attempts, cancel)
	if !p.rows.close() {
		p.log.WarnContext(ctx, "standard output is stuck: rows are lost")
	}
	return err
}

// newProcess makes the parts of a process. Nothing runs yet but the writer of rows.
func newProcess(ctx context.Context, config Config, stdout, stderr io.Writer) *process {
	p := &process{
		config: config, boot: newBoot(), metrics: newMetrics(),
		begun: make(chan struct{}), started: make(chan struct{}),
	}
	c := &p.config
	p.gate.limit = c.Horizon
	p.log = slog.New(slog.NewTextHandler(stderr, nil)).With("pod", c.Pod, "boot", p.boot)
	p.rows = newRows(stdout, p.boot, c, p.log, p.metrics)
	p.volume = newVolume(c, &p.clock, p.rows, p.log)
	p.credentials = newCredentials(ctx, c, &p.clock, p.rows, p.metrics, p.volume)
	p.dialer = newDialer(c, &p.clock, p.rows, p.metrics, p.credentials)
	p.server = &server{
		config: c, clock: &p.clock, rows: p.rows, metrics: p.metrics,
		credentials: p.credentials, started: p.started,
	}
	underWay := new(atomic.Int64)
	for _, plan := range c.Streams {
		p.streams = append(p.streams, &stream{
			plan: plan, dialer: p.dialer, gate: &p.gate, underWay: underWay,
		})
	}
	for i := range c.Associations {
		p.associations = append(p.associations, &association{
			target: &c.Associations[i], dialer: p.dialer, gate: &p.gate,
		})
	}
	return p
}

// newBoot returns the random name of a process.
func newBoot() string {
	var name [8]byte
	_, _ = rand.Read(name[:]) // never fails, by its contract
	return hex.EncodeToString(name[:])
}

// live opens the admin port, is down for as long as the process before this one was told, and then
// is a peer until running is done.
func (p *process) live(running, attempts context.Context, cancel context.CancelFunc) error {
	listening := net.ListenConfig{KeepAliveConfig: keepAlive()}
	admin, err := listening.Listen(attempts, "tcp", p.config.Admin)
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
	defer shutDown(attempts, web)
	if !p.resume(running) {
		return p.leave()
	}
	peers, err := listening.Listen(attempts, "tcp", p.config.Listen)
	if err != nil {
		return fmt.Errorf("listen for peers: %w", err)
	}
	serving.Go(func() { p.server.run(running, attempts, peers) })
	p.listening(peers)
	serving.Go(func() {
		<-running.Done()
		wait(attempts, graceMax)
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
func (p *process) listening(peers net.Listener) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.peers = peers
	p.ready.Store(!p.ending)
	if p.ending {
		_ = peers.Close()
	}
}

// shutDown ends the admin port and lets an answer under way go out.
func shutDown(ctx context.Context, web *http.Server) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceMax)
	defer cancel()
	if web.Shutdown(ctx) != nil {
		_ = web.Close()
	}
}

// resume goes on from where the process before this one left. It waits while the pod is to be down
// and reports false when the process is ended meanwhile.
func (p *process) resume(running context.Context) bool {
	before, err := load(p.config.State)
	if err != nil {
		p.log.WarnContext(running, "waiting to be told instead", "error", err)
	}
	if !before.Base.IsZero() {
		p.mu.Lock()
		p.resumed = true
		p.credentials.resume(before.Used)
		p.begin(before, false)
		p.mu.Unlock()
	}
	return wait(running, time.Until(before.DownUntil)) && running.Err() == nil
}

// begin makes offset 0 known, for the first time. The caller holds the lock.
func (p *process) begin(s saved, fresh bool) {
	p.setSkew(s.Skew)
	p.clock.begin(s.Base)
	p.state, p.fresh = s, fresh
	p.state.DownUntil = time.Time{}
	close(p.begun)
}

func (p *process) setSkew(skew time.Duration) {
	p.clock.skew.Store(int64(skew))
	p.metrics.setSkew(skew)
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
		p.stopped = p.gate.close(p.clock.offset)
	}
	p.ready.Store(false)
	if p.peers != nil {
		_ = p.peers.Close()
	}
	p.stop()
}

// perform is the process from when it knows offset 0 until running is done and all that it had
// under way has come to an end.
func (p *process) perform(running, attempts context.Context, cancel context.CancelFunc) {
	if p.fresh && !p.clock.sleep(running, 0) {
		cancel()
		return // it ended before offset 0: nothing of it is to be told
	}
	var schedules, background sync.WaitGroup
	p.start(running, attempts, &schedules, &background)
	finished := p.clock.sleep(running, p.config.Horizon)
	if finished {
		p.volume.end(true)
	}
	schedules.Wait()
	p.gate.drain()
	p.flush()
	if finished = finished && p.gate.end() == p.config.Horizon; finished {
		p.rows.put(Row{Span: record.Span{
			Kind: record.End, From: p.config.Horizon, To: p.config.Horizon,
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

// start has everything begin. A fresh process holds its credential from offset 0 on; another one
// loads it when it is asked for.
func (p *process) start(
	running, attempts context.Context, schedules, background *sync.WaitGroup,
) {
	now := time.Duration(0)
	if p.fresh {
		p.volume.begin(func(string) bool { return false })
		p.credentials.begin()
	} else {
		now = p.clock.offset()
		p.volume.begin(p.hasRead)
		p.rows.tell(Row{Due: p.due(now), Span: record.Span{
			Kind: record.Up, From: now, To: now, Source: p.config.Pod,
		}})
	}
	p.log.InfoContext(running, "begun", "offset", now, "fresh", p.fresh)
	close(p.started)
	for _, s := range p.streams {
		schedules.Go(func() { s.run(running, attempts, s.plan.dueBefore(now)) })
	}
	for _, a := range p.associations {
		background.Go(func() { a.run(running, attempts, now) })
	}
	background.Go(func() { p.volume.watch(running, p.credentials.notify) })
	background.Go(func() { p.credentials.poll(running) })
	background.Go(func() { p.flushing(running) })
}

// due returns the index of the first attempt of each stream from an offset on.
func (p *process) due(now time.Duration) []int64 {
	var due []int64
	for _, s := range p.streams {
		due = append(due, s.plan.dueBefore(min(now, p.config.Horizon)))
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
	p.volume.end(!again)
	p.rows.tell(Row{Span: record.Span{
		Kind: record.Down, From: at, To: at, Source: p.config.Pod,
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
	next.Read = p.volume.lastRead()
	next.Used = p.credentials.lastUsed()
	return next.save(p.config.State)
}
