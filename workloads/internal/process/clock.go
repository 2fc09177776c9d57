package process

import (
	"context"
	"sync/atomic"
	"time"
)

// Clock turns instants into offsets from the base and back. Offsets count on the monotonic clock:
// they never go back, whatever is done to the wall clock after begin. It is set once, by begin,
// before anything asks it for an offset.
type Clock struct {
	base time.Time // as told, on the wall clock
	zero time.Time // the same instant with a monotonic reading
	skew atomic.Int64
}

func (c *Clock) begin(base time.Time) {
	now := time.Now()
	c.base = base.Round(0)
	c.zero = now.Add(c.base.Sub(now))
}

// Offset returns how long offset 0 is past; negative before it.
func (c *Clock) Offset() time.Duration { return time.Since(c.zero) }

// Now is the process clock as it was set off: what certificates and tokens are judged by.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.skew.Load())) }

// At returns the offset of an instant of the wall clock, such as a file's time.
func (c *Clock) At(wall time.Time) time.Duration { return wall.Sub(c.base) }

// Sleep returns true once the offset has come, or false when ctx is done before.
func (c *Clock) Sleep(ctx context.Context, until time.Duration) bool {
	return Wait(ctx, time.Until(c.zero.Add(until)))
}

// Wait returns true after the duration, or false when ctx is done before. An offset that is past
// has come, even when ctx is done.
func Wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
