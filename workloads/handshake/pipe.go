package handshake

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipeSize bounds the bytes in flight in one direction. No flight of a handshake fills it, so an
// alert can always be written while nobody reads; net.Pipe, without a buffer, deadlocks there.
const pipeSize = 64 << 10

// Pipe returns the two ends of a connection in memory. It is buffered, like a socket: writes block
// only when 64 KiB wait to be read, and what was written before a Close can still be read after it.
// Deadlines are supported.
func Pipe() (client, server net.Conn) {
	up, down := newStream(), newStream()
	return &pipeEnd{in: down, out: up, local: "client", remote: "server"},
		&pipeEnd{in: up, out: down, local: "server", remote: "client"}
}

// pipeEnd is one end of a Pipe.
type pipeEnd struct {
	in, out       *stream
	local, remote pipeAddr
}

func (e *pipeEnd) Read(p []byte) (int, error)  { return e.in.read(p) }
func (e *pipeEnd) Write(p []byte) (int, error) { return e.out.write(p) }
func (e *pipeEnd) LocalAddr() net.Addr         { return e.local }
func (e *pipeEnd) RemoteAddr() net.Addr        { return e.remote }

// Close ends both directions. The peer reads what was written before, then io.EOF.
func (e *pipeEnd) Close() error {
	e.in.abandon()
	e.out.finish()
	return nil
}

func (e *pipeEnd) SetDeadline(t time.Time) error {
	e.in.setLimit(&e.in.reading, t)
	e.out.setLimit(&e.out.writing, t)
	return nil
}

func (e *pipeEnd) SetReadDeadline(t time.Time) error {
	e.in.setLimit(&e.in.reading, t)
	return nil
}

func (e *pipeEnd) SetWriteDeadline(t time.Time) error {
	e.out.setLimit(&e.out.writing, t)
	return nil
}

// pipeAddr is the address of a pipe's end.
type pipeAddr string

func (a pipeAddr) Network() string { return "pipe" }
func (a pipeAddr) String() string  { return string(a) }

// stream is one direction of a Pipe.
type stream struct {
	mu       sync.Mutex
	changed  sync.Cond // on mu; signalled whenever a waiting read or write may go on
	buffer   []byte
	start    int  // what was read of buffer
	finished bool // the writer closed
	dropped  bool // the reader closed

	reading, writing limit
}

// limit is a deadline. It belongs to a stream and is guarded by its lock.
type limit struct {
	over   bool
	turn   int    // counts the deadlines set, so that the timer of an older one does nothing
	cancel func() // of the timer, or nil
}

func newStream() *stream {
	s := &stream{}
	s.changed.L = &s.mu
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.dropped:
			return 0, net.ErrClosed
		case s.reading.over:
			return 0, os.ErrDeadlineExceeded
		case s.start < len(s.buffer) || len(p) == 0:
			return s.take(p), nil
		case s.finished:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

// take moves waiting bytes to p. The caller holds the lock.
func (s *stream) take(p []byte) int {
	n := copy(p, s.buffer[s.start:])
	s.start += n
	if s.start == len(s.buffer) {
		s.buffer, s.start = s.buffer[:0], 0
	}
	s.changed.Broadcast()
	return n
}

func (s *stream) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	written := 0
	for {
		switch {
		case s.finished:
			return written, net.ErrClosed
		case s.writing.over:
			return written, os.ErrDeadlineExceeded
		case s.dropped:
			return written, io.ErrClosedPipe
		}
		n := s.put(p[written:])
		if written += n; written == len(p) {
			return written, nil
		}
		s.changed.Wait()
	}
}

// put moves as much of p as fits to the buffer. The caller holds the lock.
func (s *stream) put(p []byte) int {
	n := min(len(p), pipeSize-(len(s.buffer)-s.start))
	if n == 0 {
		return 0
	}
	if s.start > 0 && len(s.buffer)+n > cap(s.buffer) {
		s.buffer, s.start = append(s.buffer[:0], s.buffer[s.start:]...), 0
	}
	s.buffer = append(s.buffer, p[:n]...)
	s.changed.Broadcast()
	return n
}

// finish is the writer's close.
func (s *stream) finish() {
	s.setLimit(&s.writing, time.Time{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = true
	s.changed.Broadcast()
}

// abandon is the reader's close.
func (s *stream) abandon() {
	s.setLimit(&s.reading, time.Time{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped = true
	s.changed.Broadcast()
}

// setLimit sets a deadline, or none for the zero time. A context keeps the time: the deadlines of
// net.Conn are instants of the wall clock, which this package does not read.
func (s *stream) setLimit(l *limit, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.cancel != nil {
		l.cancel() // wakes its function too, which finds that its turn is over
		l.cancel = nil
	}
	l.over = false
	l.turn++
	if t.IsZero() {
		return
	}
	ctx, cancel := context.WithDeadline(context.Background(), t)
	if ctx.Err() != nil {
		cancel()
		s.expire(l)
		return
	}
	turn := l.turn
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.turn == turn {
			s.expire(l)
		}
	})
	l.cancel = cancel
}

// expire makes a limit's waiting and later calls fail. The caller holds the lock.
func (s *stream) expire(l *limit) {
	l.over = true
	s.changed.Broadcast()
}
