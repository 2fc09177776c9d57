package handshake

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"time"

	"github.com/certquake/certquake/harness/record"
)

// Result is how an attempt ended at one end.
type Result struct {
	Outcome record.Outcome
	// Decided is set when this end rejected the attempt. Without it, a failed end only saw a
	// refusal by the other, and Outcome is no more than what an alert can tell.
	Decided bool
	Resumed bool
	Peer    *x509.Certificate // the leaf shown by the peer; nil if none was seen
	Err     error             // nil when Outcome is OK; never holds key material
}

// drainMax bounds what a failed end reads and drops before it closes a network connection.
const drainMax = 64 << 10

// Refused returns the result of an end that could not build a context from its files.
func Refused(err error) Result {
	return Result{Outcome: record.NoCredential, Decided: true, Err: err}
}

// Dial is the client's end of a canary: it handshakes, writes a byte, reads the server's byte and
// closes conn, whatever happened. It blocks until then or until ctx is done; over a real network
// ctx must have a deadline. serverName is sent as SNI, is the name VerifyHostname checks, and is
// the key sessions are remembered by.
func (c *Context) Dial(
	ctx context.Context, conn net.Conn, serverName string, now func() time.Time,
) Result {
	secured, result := c.Connect(ctx, conn, serverName, now)
	closeQuietly(secured)
	return result
}

// Accept is the server's end of a canary: it handshakes, reads the client's byte, answers with one
// and closes conn, whatever happened. It blocks like Dial.
func (c *Context) Accept(ctx context.Context, conn net.Conn, now func() time.Time) Result {
	secured, result := c.Serve(ctx, conn, now)
	closeQuietly(secured)
	return result
}

// Connect is Dial for an association: on success it returns the connection, which the caller must
// close. On failure it returns nil and has closed conn.
func (c *Context) Connect(
	ctx context.Context, conn net.Conn, serverName string, now func() time.Time,
) (*tls.Conn, Result) {
	a := &attempt{context: c, side: record.Client, serverName: serverName, now: now}
	return a.run(ctx, conn, tls.Client(conn, c.clientConfig(a)), ask)
}

// Serve is Accept for an association, as Connect is Dial for one.
func (c *Context) Serve(
	ctx context.Context, conn net.Conn, now func() time.Time,
) (*tls.Conn, Result) {
	a := &attempt{context: c, side: record.Server, now: now}
	return a.run(ctx, conn, tls.Server(conn, c.serverConfig(a)), answer)
}

// Do makes one canary attempt in memory and returns the results of both ends. Both have ended when
// it returns.
func Do(
	ctx context.Context, client, server *Context, serverName string,
	clientNow, serverNow func() time.Time,
) (clientResult, serverResult Result) {
	clientConn, serverConn := Pipe()
	done := make(chan Result, 1)
	go func() { done <- server.Accept(ctx, serverConn, serverNow) }()
	clientResult = client.Dial(ctx, clientConn, serverName, clientNow)
	return clientResult, <-done
}

// run makes the connection and confirms it. The handshake is stopped by the deadline of conn, not
// by HandshakeContext, so that one mechanism covers the handshake, the confirmation and the drain.
func (a *attempt) run(
	ctx context.Context, conn net.Conn, secured *tls.Conn, confirm func(*tls.Conn) error,
) (*tls.Conn, Result) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err := secured.Handshake() //nolint:noctx // see above
	if err == nil {
		a.stage = proven
		err = confirm(secured)
	}
	if err == nil && stop() {
		return secured, Result{Outcome: record.OK, Resumed: a.resumed, Peer: a.peer}
	}
	if err == nil {
		err = ctx.Err() // it ended in the same instant, and conn's deadline is gone
	}
	result := a.judge(ctx, err)
	drain(conn)
	stop()
	return nil, result
}

// ask is the client's half of the confirmation. It reads even when the write failed: the refusal
// that broke the connection may be waiting there.
func ask(conn *tls.Conn) error {
	_, writing := conn.Write([]byte{'?'})
	var reply [1]byte
	_, reading := io.ReadFull(conn, reply[:])
	if _, refused := remoteAlert(reading); writing != nil && !refused {
		return writing
	}
	return reading
}

// answer is the server's half of the confirmation.
func answer(conn *tls.Conn) error {
	var question [1]byte
	if _, err := io.ReadFull(conn, question[:]); err != nil {
		return err
	}
	_, err := conn.Write([]byte{'!'})
	return err
}

// drain closes a connection so that the alert in flight arrives: closing a TCP socket with unread
// data resets the connection, and the peer would see the reset in place of the cause.
func drain(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, drainMax))
	}
	_ = conn.Close()
}

// closeQuietly closes a connection whose attempt has succeeded: what its end may add is no news.
func closeQuietly(conn *tls.Conn) {
	if conn != nil {
		_ = conn.Close()
	}
}
