package handshake_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/handshake"
)

func TestPipeReadsWhatWasWrittenBeforeClose(t *testing.T) {
	client, server := handshake.Pipe()
	_, err := client.Write([]byte("last words"))
	require.NoError(t, err)
	require.NoError(t, client.Close())
	got, err := io.ReadAll(server)
	require.NoError(t, err)
	assert.Equal(t, "last words", string(got))
	_, err = server.Write([]byte("anyone?"))
	require.ErrorIs(t, err, io.ErrClosedPipe)
	_, err = client.Write(nil)
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = client.Read(make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed)
}

// TestPipeBlocksWhenFull writes more than fits while a reader takes small bites.
func TestPipeBlocksWhenFull(t *testing.T) {
	client, server := handshake.Pipe()
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	done := make(chan error, 1)
	go func() {
		_, err := client.Write(want)
		_ = client.Close()
		done <- err
	}()
	got, err := io.ReadAll(io.MultiReader(io.LimitReader(server, 7), server))
	require.NoError(t, err)
	require.NoError(t, <-done)
	assert.True(t, bytes.Equal(want, got))
}

// bubble is the instant at which every synctest bubble begins.
func bubble() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

// passed reports whether the clock, here a bubble's, reached an instant.
func passed(instant time.Time) bool {
	ctx, cancel := context.WithDeadline(context.Background(), instant)
	defer cancel()
	return ctx.Err() != nil
}

func TestPipeDeadlines(t *testing.T) {
	rows := []struct {
		name string
		op   func(conn net.Conn) error
	}{
		{"read", func(conn net.Conn) error {
			_ = conn.SetReadDeadline(bubble().Add(time.Second))
			_, err := conn.Read(make([]byte, 1))
			return err
		}},
		{"write", func(conn net.Conn) error {
			_ = conn.SetWriteDeadline(bubble().Add(time.Second))
			_, err := conn.Write(make([]byte, 1<<20))
			return err
		}},
		{"past", func(conn net.Conn) error {
			_ = conn.SetDeadline(time.Unix(1, 0))
			_, err := conn.Read(make([]byte, 1))
			return err
		}},
		{"moved", func(conn net.Conn) error {
			_ = conn.SetDeadline(bubble().Add(time.Millisecond))
			_ = conn.SetDeadline(bubble().Add(time.Second))
			_, err := conn.Read(make([]byte, 1))
			return err
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := handshake.Pipe()
				require.ErrorIs(t, row.op(client), os.ErrDeadlineExceeded)
				if row.name != "past" {
					assert.True(t, passed(bubble().Add(time.Second)))
					assert.False(t, passed(bubble().Add(time.Second+1)))
				}
				require.NoError(t, client.SetDeadline(time.Time{}))
				_, err := server.Write([]byte{7})
				require.NoError(t, err)
				_, err = client.Read(make([]byte, 1))
				require.NoError(t, err, "a deadline taken back")
				require.NoError(t, client.Close())
				require.NoError(t, server.Close())
			})
		})
	}
}

func TestPipeAddresses(t *testing.T) {
	client, server := handshake.Pipe()
	assert.Equal(t, client.LocalAddr(), server.RemoteAddr())
	assert.Equal(t, server.LocalAddr(), client.RemoteAddr())
	assert.Equal(t, "pipe", client.LocalAddr().Network())
	assert.NotEqual(t, client.LocalAddr().String(), server.LocalAddr().String())
}
