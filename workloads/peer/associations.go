package peer

import (
	"context"
	"crypto/tls"
	"io"
	"time"

	"github.com/certquake/certquake/harness/record"
)

// association is a long-lived connection that this process is the source of. Once established it
// is never shaken hands on again, as in Akka's artery: it ends with one of its processes, and is
// then attempted at once and every Retry until it is established again.
type association struct {
	target *Target
	dialer *dialer
}

// run keeps the association up until ctx is done, from an offset on. Attempts under way end with
// the context of attempts.
func (a *association) run(ctx, attempts context.Context, base time.Duration) {
	clk, states := a.dialer.kit.Clock, a.dialer.metrics.associations
	states.WithLabelValues(stateDown).Inc()
	defer states.WithLabelValues(stateDown).Dec()
	for next := base; clk.Sleep(ctx, next) && ctx.Err() == nil && a.dialer.kit.Gate.Enter(next); {
		conn := a.attempt(attempts, next)
		if conn == nil {
			next = a.after(next)
			continue
		}
		states.WithLabelValues(stateUp).Inc()
		states.WithLabelValues(stateDown).Dec()
		hold(ctx, conn)
		states.WithLabelValues(stateUp).Dec()
		states.WithLabelValues(stateDown).Inc()
		next = clk.Offset()
		if ctx.Err() != nil {
			a.dropped(a.dialer.kit.Gate.End(), a.dialer.config.Pod)
			return
		}
		a.dropped(next, a.target.Pod)
	}
}

// attempt makes the attempt due at an offset and tells of it. It returns nil when that failed.
func (a *association) attempt(ctx context.Context, due time.Duration) *tls.Conn {
	defer a.dialer.kit.Gate.Leave()
	conn, end := a.dialer.connect(ctx, a.target)
	if conn == nil {
		a.dialer.failed(record.Associate, a.target, due, end)
		return nil
	}
	a.established(min(a.dialer.kit.Clock.Offset(), a.dialer.kit.Gate.End()))
	return conn
}

// after returns the next of the instants Retry apart that is still to come.
func (a *association) after(last time.Duration) time.Duration {
	retry := a.dialer.config.Retry
	next := last + retry
	if late := a.dialer.kit.Clock.Offset() - next; late > 0 {
		next += late + retry - 1 - (late-1)%retry // rounded up to a whole number of them
	}
	return next
}

func (a *association) established(at time.Duration) {
	a.dialer.metrics.handshake(record.Client, record.OK)
	a.dialer.kit.Rows.Tell(Row{Role: record.Client, Span: record.Span{
		Kind: record.Associate, From: at, To: at, Source: a.dialer.config.Pod,
		Peer: a.target.Pod, Outcome: record.OK, Count: 1,
	}})
}

func (a *association) dropped(at time.Duration, who string) {
	a.dialer.kit.Rows.Tell(Row{Span: record.Span{
		Kind: record.Drop, From: at, To: at, Source: a.dialer.config.Pod, Peer: a.target.Pod,
		Detail: who + " ended",
	}})
}

// hold keeps a connection open, reading and discarding, until the other end closes it, it is found
// dead, or ctx is done.
func hold(ctx context.Context, conn *tls.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	_, _ = io.Copy(io.Discard, conn)
	_ = conn.Close()
}
