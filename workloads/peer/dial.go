package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/handshake"
	"github.com/certquake/certquake/workloads/internal/process"
)

// The limits of connections.
const (
	// refusedMax bounds what a refused connection's other end may still send, in bytes.
	refusedMax = 64 << 10
	// remoteOp is how crypto/tls marks an alert that came from the peer.
	remoteOp = "remote error"
)

// dialer makes attempts as a client.
type dialer struct {
	config      *Config
	kit         *process.Kit
	metrics     *metrics
	credentials *credentials
	network     net.Dialer
}

func newDialer(c *Config, kit *process.Kit, m *metrics, creds *credentials) *dialer {
	return &dialer{
		config: c, kit: kit, metrics: m, credentials: creds, network: process.NewDialer(),
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
	secured, result := held.context.Connect(ctx, conn, target.ServerName, d.kit.Clock.Now)
	end.Result = result
	if result.Decided {
		end.side = record.Client
	}
	return secured, end
}

// canary makes one canary attempt that was due at an offset. Its success is counted, its failure is
// a row.
func (d *dialer) canary(
	ctx context.Context, target *Target, due time.Duration, good *process.Successes,
) {
	conn, end := d.connect(ctx, target)
	if end.Outcome == record.OK {
		took := d.kit.Clock.Offset() - due
		_ = conn.Close() // what it may add is no news
		good.Add(due, took)
		d.metrics.duration.Observe(took.Seconds())
		d.metrics.handshake(record.Client, record.OK)
		return
	}
	d.failed(record.Handshake, target, due, end)
}

// failed writes the row of a failed attempt.
func (d *dialer) failed(kind record.Kind, target *Target, at time.Duration, end ending) {
	d.metrics.handshake(record.Client, end.Outcome)
	d.kit.Rows.Put(Row{
		Role: record.Client, Via: end.via, Decided: end.Decided, Alerted: alerted(end.Err),
		Span: record.Span{
			Kind: kind, From: at, To: at, Source: d.config.Pod, Peer: target.Pod,
			Outcome: end.Outcome, Count: 1, Side: end.side, Own: end.own,
		},
	})
}

// notConnected tells why there is no connection at all.
func notConnected(err error, own *record.Generation) ending {
	outcome, side := process.NotConnected(err)
	return ending{
		own: own, side: side, Result: handshake.Result{Outcome: outcome, Err: err},
	}
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
