package peer

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/handshake"
	"github.com/certquake/certquake/workloads/internal/process"
)

// The bounds of serving.
const (
	servedMax = 8192                  // connections at once; further ones wait to be accepted
	acceptGap = 50 * time.Millisecond // after a failed accept, such as for want of descriptors
)

// server is the end that is dialled.
type server struct {
	config      *Config
	kit         *process.Kit
	metrics     *metrics
	credentials *credentials
	served      sync.WaitGroup
}

// run accepts connections until the listener is closed, and returns when all of them have ended.
// They are held until ctx is done; handshakes may go on until attempts is.
func (s *server) run(ctx, attempts context.Context, listener net.Listener) {
	defer s.served.Wait()
	slots := make(chan struct{}, servedMax)
	for {
		conn, err := listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			process.Wait(ctx, acceptGap)
			continue
		}
		slots <- struct{}{}
		s.served.Go(func() {
			defer func() { <-slots }()
			s.serve(ctx, attempts, conn)
		})
	}
}

// serve is one connection. One that comes before the process has begun waits for that, as long as
// an attempt may take.
func (s *server) serve(ctx, attempts context.Context, conn net.Conn) {
	limited, cancel := context.WithTimeout(attempts, s.config.Deadline)
	defer cancel()
	select {
	case <-s.kit.Started:
	case <-ctx.Done():
		_ = conn.Close()
		return
	case <-limited.Done():
		_ = conn.Close()
		return
	}
	at := s.kit.Clock.Offset()
	held := s.credentials.demand()
	if held.err != nil {
		refuse(limited, conn)
		s.failed(conn, at, held.own, handshake.Refused(held.err))
		return
	}
	secured, result := held.context.Serve(limited, conn, s.kit.Clock.Now)
	if result.Outcome != record.OK {
		s.failed(conn, at, held.own, result)
		return
	}
	cancel() // the deadline is the attempt's, not the connection's
	s.metrics.handshake(record.Server, record.OK)
	hold(ctx, secured)
}

// failed writes the row of a connection that came to nothing. Whom it was from, and whether it was
// to be a canary or an association, the client's row tells.
func (s *server) failed(
	conn net.Conn, at time.Duration, own *record.Generation, result handshake.Result,
) {
	s.metrics.handshake(record.Server, result.Outcome)
	row := Row{
		Role: record.Server, Via: conn.RemoteAddr().String(), Decided: result.Decided,
		Alerted: alerted(result.Err),
		Span: record.Span{
			Kind: record.Handshake, From: at, To: at, Peer: s.config.Pod,
			Outcome: result.Outcome, Count: 1, Own: own,
		},
	}
	if result.Decided {
		row.Span.Side = record.Server
	}
	s.kit.Rows.Put(row)
}
