package services

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestDialPatiently dials a port that opens later, and one that never does.
func TestDialPatiently(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())

	ctx, cancel := context.WithTimeout(t.Context(), 3*redialEvery)
	defer cancel()
	_, err = dialPatiently(ctx, "tcp", address)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	opened := make(chan net.Listener, 1)
	time.AfterFunc(3*redialEvery, func() {
		again, failed := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
		if failed == nil {
			opened <- again
		}
		close(opened)
	})
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := dialPatiently(ctx, "tcp", address)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.NoError(t, (<-opened).Close())
}
