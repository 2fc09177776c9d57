package peer

import (
	"context"
	"sync/atomic"
	"time"
)

// clock turns instants into offsets from the base and back. Offsets count on the monotonic clock:
// they never go back, whatever is done to the wall clock after begin. It is set once, by begin,
// before anything asks it for an offset.
type clock struct {
	base time.Time // as told, on the wall clock
	zero time.Time // the same instant with a monotonic reading
	skew atomic.Int64
}

func (c *clock) begin(base time.Time) {
	now := time.Now()
	c.base = base.Round(0)
	c.zero = now.Add(c.base.Sub(now))
}

// offset returns how long offset 0 is past; negative before it.
func (c *clock) offset() time.Duration { return time.Since(c.zero) }

// now is the process clock as it was set off: what certificates are judged by.
func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.skew.Load())) }

// at returns the offset of an instant of the wall clock, such as a file's time.
func (c *clock) at(wall time.Time) time.Duration { return wall.Sub(c.base) }

// sleep returns true once the offset has come, or false when ctx is done before.
func (c *clock) sleep(ctx context.Context, until time.Duration) bool {
	return wait(ctx, time.Until(c.zero.Add(until)))
}

// wait returns true after the duration, or false when ctx is done before. An offset that is past
// has come, even when ctx is done.
func wait(ctx context.Context, d time.Duration) bool {
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
