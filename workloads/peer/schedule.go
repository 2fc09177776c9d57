package peer

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// underWayMax bounds the canary dials under way at once. One more is skipped, not delayed: a row
// says so.
const underWayMax = 1024

// gate is what every attempt passes as it starts. It makes the end of scheduling an instant: what
// was due before it is made, even if late, and nothing else.
type gate struct {
	mu       sync.RWMutex
	limit    time.Duration // attempts due from it on are not made
	shut     bool
	attempts sync.WaitGroup // those that entered and did not leave
}

// enter admits an attempt due at an offset, which must leave. It reports false when scheduling
// ended before that offset.
func (g *gate) enter(due time.Duration) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if due >= g.limit || g.shut {
		return false
	}
	g.attempts.Add(1)
	return true
}

func (g *gate) leave() { g.attempts.Done() }

// end returns when scheduling ends, as far as is known.
func (g *gate) end() time.Duration {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.limit
}

// drain waits for the attempts under way and admits no other. Call it when the streams have run.
func (g *gate) drain() {
	g.mu.Lock()
	g.shut = true
	g.mu.Unlock()
	g.attempts.Wait()
}

// close ends scheduling now and returns that instant.
func (g *gate) close(now func() time.Duration) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := now()
	g.limit = min(g.limit, at)
	return at
}

// stream is one Stream being performed.
type stream struct {
	plan     Stream
	dialer   *dialer
	gate     *gate
	underWay *atomic.Int64 // of all streams
	good     successes
}

// dueBefore returns how many attempts of the stream are due before the offset: the index of the
// first one due at or after it.
func (s *Stream) dueBefore(t time.Duration) int64 {
	if t <= s.Phase {
		return 0
	}
	return int64((t-s.Phase-1)/s.Every) + 1
}

// run makes the attempts from index k on, each at its time, until the gate is closed. It never
// waits for an attempt: late ones, after a stall, start all at once.
func (s *stream) run(ctx, attempts context.Context, k int64) {
	for ; ; k++ {
		due := s.plan.Phase + time.Duration(k)*s.plan.Every
		if due < s.gate.end() {
			s.dialer.clock.sleep(ctx, due) // the gate knows whether it came
		}
		if !s.gate.enter(due) {
			return
		}
		target := &s.plan.Targets[(int64(s.plan.First)+k)%int64(len(s.plan.Targets))]
		go s.attempt(attempts, target, due)
	}
}

func (s *stream) attempt(ctx context.Context, target *Target, due time.Duration) {
	defer s.gate.leave()
	defer s.underWay.Add(-1)
	if s.underWay.Add(1) > underWayMax {
		s.dialer.skip(target, due, strconv.Itoa(underWayMax)+" attempts are under way")
		return
	}
	s.dialer.metrics.underWay.Inc()
	defer s.dialer.metrics.underWay.Dec()
	s.dialer.canary(ctx, target, due, &s.good)
}
