package handshake_test

import (
	"context"
	"crypto"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/handshake"
)

// scope makes the context of an attempt.
type scope func(context.Context) (context.Context, context.CancelFunc)

func TestInterruption(t *testing.T) {
	rows := []struct {
		name string
		make scope
		want record.Outcome
	}{
		{"the deadline passes", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, record.Timeout},
		{"the run ends", func(ctx context.Context) (context.Context, context.CancelFunc) {
			later, stop := context.WithTimeout(ctx, time.Second)
			ctx, cancel := context.WithCancel(ctx)
			context.AfterFunc(later, func() { stop(); cancel() })
			return ctx, cancel
		}, record.Canceled},
		{"the run is over", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		}, record.Canceled},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := row.make(t.Context())
				defer cancel()
				w := newWorld(t, tls13)
				client := dialSilence(ctx, ready(t, w.client, w.onClient))
				server := acceptSilence(ctx, ready(t, w.server, w.onServer))
				assert.Equal(t, row.want, client.Outcome)
				assert.Equal(t, row.want, server.Outcome)
				outcome, side := handshake.Join(client, server)
				assert.Equal(t, row.want, outcome)
				assert.Empty(t, side)
			})
		})
	}
}

// dialSilence dials a peer that never answers.
func dialSilence(ctx context.Context, c *handshake.Context) handshake.Result {
	near, far := handshake.Pipe()
	defer func() { _ = far.Close() }()
	return c.Dial(ctx, near, serverName, at(start))
}

// acceptSilence accepts a peer that never speaks.
func acceptSilence(ctx context.Context, c *handshake.Context) handshake.Result {
	far, near := handshake.Pipe()
	defer func() { _ = far.Close() }()
	return c.Accept(ctx, near, at(start))
}

// halfCloser is a connection that can be closed for writing only, as TCP's can, and that notes what
// became of it.
type halfCloser struct {
	net.Conn
	calls []string
}

func (c *halfCloser) CloseWrite() error {
	c.calls = append(c.calls, "close write")
	return nil
}

func (c *halfCloser) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.calls = append(c.calls, err.Error())
	}
	return n, err
}

func (c *halfCloser) Close() error {
	c.calls = append(c.calls, "close")
	return c.Conn.Close()
}

// TestDrain has the server refuse: it must not close before the client has read its alert.
func TestDrain(t *testing.T) {
	w := newWorld(t, tls13)
	stranger := ready(t, node(t, w.other, order{}, w.ca), w.onClient)
	near, far := handshake.Pipe()
	conn, done := &halfCloser{Conn: far}, make(chan handshake.Result, 1)
	server := ready(t, w.server, w.onServer)
	go func() { done <- server.Accept(t.Context(), conn, at(start)) }()
	stranger.Dial(t.Context(), near, serverName, at(start))
	<-done
	assert.Equal(t, []string{"close write", "EOF", "close"}, conn.calls)
}

// mute is a key that cannot be used, as one in a hardware module that went away.
type mute struct{ crypto.Signer }

func (mute) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, io.ErrNoProgress
}

// TestMuteKey must not put a client's failure to sign down to the server's signature.
func TestMuteKey(t *testing.T) {
	for _, version := range []uint16{tls12, tls13} {
		w := newWorld(t, version)
		w.client.Key = mute{w.client.Key}
		client, server := w.do(t)
		outcome, side := handshake.Join(client, server)
		assert.Equal(t, record.Other, outcome)
		assert.Equal(t, record.Client, side)
	}
}
