// Package splice carries TCP connections from a listener to another address, byte by byte:
// into the cluster's network namespace, and from a Service to its pods. Call [Serve].
package splice

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// dialMax bounds a connection to an address that does not answer.
const dialMax = 10 * time.Second

// Serve accepts connections and carries each to the address that choose returns, until the
// listener is closed. A connection that cannot be carried is reset, so that its client sees a
// refusal instead of an empty answer. It returns when the last connection has ended; the end
// of ctx ends them all.
func Serve(ctx context.Context, listener net.Listener, choose func() (netip.AddrPort, bool)) {
	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if near, ok := conn.(*net.TCPConn); ok && err == nil {
			open.Go(func() { carry(ctx, near, choose) })
		}
	}
}

func carry(ctx context.Context, near *net.TCPConn, choose func() (netip.AddrPort, bool)) {
	defer func() { _ = near.Close() }()
	to, found := choose()
	if !found {
		_ = near.SetLinger(0)
		return
	}
	dialer := net.Dialer{Timeout: dialMax}
	conn, err := dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		_ = near.SetLinger(0)
		return
	}
	far := conn.(*net.TCPConn)
	defer func() { _ = far.Close() }()
	stop := context.AfterFunc(ctx, func() {
		_ = near.Close()
		_ = far.Close()
	})
	defer stop()
	var copying sync.WaitGroup
	copying.Go(func() { pump(far, near) })
	pump(near, far)
	copying.Wait()
}

// pump copies one direction. Its end is passed on, its failure ends both directions.
func pump(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		_ = from.Close()
		_ = to.Close()
		return
	}
	_ = to.CloseWrite()
}
