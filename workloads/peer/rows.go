package peer

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/certquake/certquake/harness/record"
)

// The bounds of rows.
const (
	rowsMax  = 100_000  // rows in memory while standard output is stuck
	lineMax  = 64 << 10 // bytes of one line, with its end
	drainFor = 2 * time.Second
)

// rows numbers the rows of a process and writes them to standard output, one Write each, from a
// goroutine of its own: whoever has a row never waits for the pipe. Beyond rowsMax waiting rows a
// new one is dropped, which the gap in the numbers shows.
type rows struct {
	out     io.Writer
	boot    string
	horizon time.Duration
	log     *slog.Logger
	metrics *metrics

	mu      sync.Mutex
	seq     uint64
	queue   []line
	written uint64 // the number of the last row that went out
	closed  bool

	wake  chan struct{} // of size 1: there is something for write to do
	ended chan struct{} // closed when write returned
}

// line is an encoded row.
type line struct {
	seq  uint64
	text []byte
}

func newRows(out io.Writer, boot string, c *Config, log *slog.Logger, m *metrics) *rows {
	r := &rows{
		out: out, boot: boot, horizon: c.Horizon, log: log, metrics: m,
		wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	go r.write()
	return r
}

// put hands over a row. It does not block.
func (r *rows) put(row Row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	row.Boot, row.Seq = r.boot, r.seq
	text, err := json.Marshal(&row)
	if err != nil || len(text)+1 > lineMax || len(r.queue) >= rowsMax || r.closed {
		r.metrics.rowsDropped.Inc()
		return
	}
	r.queue = append(r.queue, line{seq: r.seq, text: append(text, '\n')})
	select {
	case r.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// tell hands over a row that is no attempt. Nothing changes after the horizon any more.
func (r *rows) tell(row Row) {
	if row.Span.To < r.horizon {
		r.put(row)
	}
}

// sent returns the number of the last row that was written.
func (r *rows) sent() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.written
}

// write writes rows until close. A Write that fails loses its row and no other.
func (r *rows) write() {
	defer close(r.ended)
	failed := false
	for range r.wake {
		for {
			next, ok := r.take()
			if !ok {
				break
			}
			_, err := r.out.Write(next.text)
			if err != nil && !failed {
				r.log.Warn("rows are lost", "error", err)
			}
			failed = err != nil
			r.passed(next.seq)
		}
	}
}

func (r *rows) take() (line, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		r.queue = nil
		return line{}, false
	}
	next := r.queue[0]
	r.queue[0] = line{}
	r.queue = r.queue[1:]
	return next, true
}

func (r *rows) passed(seq uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written = seq
}

// close waits for what is in memory to be written, as long as drainFor, and reports whether it was.
func (r *rows) close() bool {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	close(r.wake)
	timer := time.NewTimer(drainFor)
	defer timer.Stop()
	select {
	case <-r.ended:
		return true
	case <-timer.C:
		return false
	}
}

// successes gathers the successes of one stream between two flushes.
type successes struct {
	mu          sync.Mutex
	count       int64
	first, last time.Duration // due offsets
	latency     *record.Histogram
}

func (s *successes) add(due, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == 0 {
		s.first, s.last, s.latency = due, due, record.NewHistogram()
	}
	s.count++
	s.first, s.last = min(s.first, due), max(s.last, due)
	s.latency.Record(took, 1)
}

// flush writes the span of what was gathered, if anything was.
func (s *successes) flush(pod string, r *rows) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == 0 {
		return
	}
	r.put(Row{Role: record.Client, Span: record.Span{
		Kind: record.Handshake, From: s.first, To: s.last, Source: pod,
		Outcome: record.OK, Count: s.count, Latency: s.latency,
	}})
	s.count, s.latency = 0, nil
}

// flushing flushes every stream once in each FlushEvery, at a random phase, until ctx is done.
func (p *process) flushing(ctx context.Context) {
	next := p.clock.offset().Truncate(FlushEvery) +
		time.Duration(rand.Int64N(int64(FlushEvery)))
	for {
		if !p.clock.sleep(ctx, next) {
			return
		}
		p.flush()
		next += FlushEvery
	}
}

func (p *process) flush() {
	for _, s := range p.streams {
		s.good.flush(p.config.Pod, p.rows)
	}
}
