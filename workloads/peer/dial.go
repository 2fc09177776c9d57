package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/handshake"
)

// The limits of connections.
const (
	// A vanished peer is noticed keepAliveEvery * (1 + keepAliveTries) after it was last heard of.
	keepAliveEvery = time.Second
	keepAliveTries = 3
	// refusedMax bounds what a refused connection's other end may still send, in bytes.
	refusedMax = 64 << 10
	// remoteOp is how crypto/tls marks an alert that came from the peer.
	remoteOp = "remote error"
)

// keepAlive has the kernel notice that a peer is gone on a connection that nothing is sent over.
func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{
		Enable: true, Idle: keepAliveEvery, Interval: keepAliveEvery, Count: keepAliveTries,
	}
}

// dialer makes attempts as a client.
type dialer struct {
	config      *Config
	clock       *clock
	rows        *rows
	metrics     *metrics
	credentials *credentials
	network     net.Dialer
}

func newDialer(c *Config, clk *clock, r *rows, m *metrics, creds *credentials) *dialer {
	return &dialer{
		config: c, clock: clk, rows: r, metrics: m, credentials: creds,
		network: net.Dialer{
			KeepAliveConfig: keepAlive(), Resolver: &net.Resolver{PreferGo: true},
		},
	}
}

// ending is how an attempt ended at this end.
type ending struct {
	handshake.Result
	own  *record.Generation
	via  string      // the connection's address at the client, empty when there was none
	side record.Side // the end that decided a failure, when this end knows
}

// connect makes one attempt at a target and returns the connection if it succeeded. It blocks until
// then, at most for Config.Deadline.
func (d *dialer) connect(ctx context.Context, target *Target) (*tls.Conn, ending) {
	ctx, cancel := context.WithTimeout(ctx, d.config.Deadline)
	defer cancel()
	held := d.credentials.demand()
	conn, err := d.network.DialContext(ctx, "tcp", target.Address)
	if err != nil {
		return nil, notConnected(err, held.own)
	}
	end := ending{own: held.own, via: conn.LocalAddr().String()}
	if held.err != nil {
		refuse(ctx, conn)
		end.Result, end.side = handshake.Refused(held.err), record.Client
		return nil, end
	}
	secured, result := held.context.Connect(ctx, conn, target.ServerName, d.clock.now)
	end.Result = result
	if result.Decided {
		end.side = record.Client
	}
	return secured, end
}

// canary makes one canary attempt that was due at an offset. Its success is counted, its failure is
// a row.
func (d *dialer) canary(
	ctx context.Context, target *Target, due time.Duration, good *successes,
) {
	conn, end := d.connect(ctx, target)
	if end.Outcome == record.OK {
		took := d.clock.offset() - due
		_ = conn.Close() // what it may add is no news
		good.add(due, took)
		d.metrics.duration.Observe(took.Seconds())
		d.metrics.handshake(record.Client, record.OK)
		return
	}
	d.failed(record.Handshake, target, due, end)
}

// failed writes the row of a failed attempt.
func (d *dialer) failed(kind record.Kind, target *Target, at time.Duration, end ending) {
	d.metrics.handshake(record.Client, end.Outcome)
	d.rows.put(Row{
		Role: record.Client, Via: end.via, Decided: end.Decided, Alerted: alerted(end.Err),
		Span: record.Span{
			Kind: kind, From: at, To: at, Source: d.config.Pod, Peer: target.Pod,
			Outcome: end.Outcome, Count: 1, Side: end.side, Own: end.own,
		},
	})
}

// skip writes the row of an attempt that was due and not made.
func (d *dialer) skip(target *Target, due time.Duration, why string) {
	d.rows.put(Row{Role: record.Client, Span: record.Span{
		Kind: record.Handshake, From: due, To: due, Source: d.config.Pod, Peer: target.Pod,
		Outcome: record.Skipped, Count: 1, Detail: why,
	}})
}

// notConnected tells why there is no connection at all.
func notConnected(err error, own *record.Generation) ending {
	end := ending{own: own, Result: handshake.Result{Outcome: record.Other, Err: err}}
	name, named := errors.AsType[*net.DNSError](err)
	timing, timed := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, context.Canceled):
		end.Outcome = record.Canceled
	case named && name.IsNotFound, nobody(err):
		end.Outcome, end.side = record.Unreachable, record.Client
	case timed && timing.Timeout():
		end.Outcome = record.Timeout
	}
	return end
}

// nobody reports whether the network said that no process listens at the address.
func nobody(err error) bool {
	for _, no := range []syscall.Errno{
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EHOSTUNREACH, syscall.EHOSTDOWN,
		syscall.ENETUNREACH, syscall.ENETDOWN,
	} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

// refuse ends a connection over which nothing was said. It waits for the other end to end it too: a
// close with unread data would reset it, and hide from the other end how it ended.
func refuse(ctx context.Context, conn net.Conn) {
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, refusedMax))
	}
	_ = conn.Close()
}

// alerted reports whether an attempt ended by an alert of the other end.
func alerted(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == remoteOp
}
