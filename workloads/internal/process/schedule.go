package process

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/certquake/certquake/harness/record"
)

// underWayMax bounds the attempts under way at once. One more is skipped, not delayed: a row says
// so.
const underWayMax = 1024

// Gate is what every attempt passes as it starts. It makes the end of scheduling an instant: what
// was due before it is made, even if late, and nothing else.
type Gate struct {
	mu       sync.RWMutex
	limit    time.Duration // attempts due from it on are not made
	shut     bool
	attempts sync.WaitGroup // those that entered and did not leave
}

// Enter admits an attempt due at an offset, which must leave. It reports false when scheduling
// ended before that offset.
func (g *Gate) Enter(due time.Duration) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if due >= g.limit || g.shut {
		return false
	}
	g.attempts.Add(1)
	return true
}

// Leave notes that an attempt that entered is over.
func (g *Gate) Leave() { g.attempts.Done() }

// End returns when scheduling ends, as far as is known.
func (g *Gate) End() time.Duration {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.limit
}

// drain waits for the attempts under way and admits no other. Call it when the streams have run.
func (g *Gate) drain() {
	g.mu.Lock()
	g.shut = true
	g.mu.Unlock()
	g.attempts.Wait()
}

// close ends scheduling now and returns that instant.
func (g *Gate) close(now func() time.Duration) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := now()
	g.limit = min(g.limit, at)
	return at
}

// stream is one Stream being performed.
type stream struct {
	plan     Stream
	kit      *Kit
	role     Role
	underWay *atomic.Int64 // of all streams
	good     Successes
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
		if due < s.kit.Gate.End() {
			s.kit.Clock.Sleep(ctx, due) // the gate knows whether it came
		}
		if !s.kit.Gate.Enter(due) {
			return
		}
		target := &s.plan.Targets[(int64(s.plan.First)+k)%int64(len(s.plan.Targets))]
		go s.attempt(attempts, target, due)
	}
}

func (s *stream) attempt(ctx context.Context, target *Target, due time.Duration) {
	defer s.kit.Gate.Leave()
	defer s.underWay.Add(-1)
	if s.underWay.Add(1) > underWayMax {
		s.skip(target, due, strconv.Itoa(underWayMax)+" attempts are under way")
		return
	}
	s.kit.Metrics.underWay.Inc()
	defer s.kit.Metrics.underWay.Dec()
	s.role.Attempt(ctx, target, due, &s.good)
}

// skip writes the row of an attempt that was due and not made.
func (s *stream) skip(target *Target, due time.Duration, why string) {
	s.kit.Rows.Put(Row{Role: record.Client, Span: record.Span{
		Kind: s.kit.Settings.Attempts, From: due, To: due, Source: s.kit.Settings.Pod,
		Peer: target.Pod, Outcome: record.Skipped, Count: 1, Detail: why,
	}})
}
