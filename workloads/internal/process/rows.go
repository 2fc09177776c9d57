package process

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

// Rows numbers the rows of a process and writes them to standard output, one Write each, from a
// goroutine of its own: whoever has a row never waits for the pipe. Beyond rowsMax waiting rows a
// new one is dropped, which the gap in the numbers shows.
type Rows struct {
	out     io.Writer
	boot    string
	horizon time.Duration
	log     *slog.Logger
	metrics *Metrics

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

func newRows(
	out io.Writer, boot string, horizon time.Duration, log *slog.Logger, m *Metrics,
) *Rows {
	r := &Rows{
		out: out, boot: boot, horizon: horizon, log: log, metrics: m,
		wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	go r.write()
	return r
}

// Put hands over a row. It does not block.
func (r *Rows) Put(row Row) {
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

// Tell hands over a row that is no attempt. Nothing changes after the horizon any more.
func (r *Rows) Tell(row Row) {
	if row.Span.To < r.horizon {
		r.Put(row)
	}
}

// sent returns the number of the last row that was written.
func (r *Rows) sent() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.written
}

// write writes rows until close. A Write that fails loses its row and no other.
func (r *Rows) write() {
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

func (r *Rows) take() (line, bool) {
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

func (r *Rows) passed(seq uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written = seq
}

// close waits for what is in memory to be written, as long as drainFor, and reports whether it was.
func (r *Rows) close() bool {
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

// Successes gathers the successes of one stream between two flushes.
type Successes struct {
	mu          sync.Mutex
	count       int64
	first, last time.Duration // due offsets
	latency     *record.Histogram
}

// Add takes note of a success that was due at an offset.
func (s *Successes) Add(due, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == 0 {
		s.first, s.last, s.latency = due, due, record.NewHistogram()
	}
	s.count++
	s.first, s.last = min(s.first, due), max(s.last, due)
	s.latency.Record(took, 1)
}

// Count returns how many there were since the last flush.
func (s *Successes) Count() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// flush writes the span of what was gathered, if anything was.
func (s *Successes) flush(set *Settings, r *Rows) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == 0 {
		return
	}
	r.Put(Row{Role: record.Client, Span: record.Span{
		Kind: set.Attempts, From: s.first, To: s.last, Source: set.Pod,
		Outcome: record.OK, Count: s.count, Latency: s.latency,
	}})
	s.count, s.latency = 0, nil
}

// flushing flushes every stream once in each FlushEvery, at a random phase, until ctx is done.
func (p *process) flushing(ctx context.Context) {
	next := p.kit.Clock.Offset().Truncate(FlushEvery) +
		time.Duration(rand.Int64N(int64(FlushEvery)))
	for {
		if !p.kit.Clock.Sleep(ctx, next) {
			return
		}
		p.flush()
		next += FlushEvery
	}
}

func (p *process) flush() {
	for _, s := range p.streams {
		s.good.flush(p.kit.Settings, p.kit.Rows)
	}
}
