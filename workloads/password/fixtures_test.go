package password_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/password"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, whole(m)...) }

const secret = "correct-horse-battery-staple"

// ringOf returns a ring of keys such as "r1" and "r2*", the star being the primary, whose password
// is the same.
func ringOf(tb testing.TB, word string, ids ...string) *keyring.Ring {
	tb.Helper()
	files := map[string][]byte{}
	for _, marked := range ids {
		id, primary := strings.CutSuffix(marked, "*")
		name := id + ".password"
		if primary {
			name += ".primary"
		}
		files[name] = []byte(word)
	}
	ring, err := password.RingOf(files)
	require.NoError(tb, err)
	return ring
}

// keyOf returns a key that need not be one that Check accepts as a ring's.
func keyOf(tb testing.TB, id, word string) keyring.Key {
	tb.Helper()
	return ringOf(tb, word, id+"*").Primary()
}

// always is a source of one ring.
func always(ring *keyring.Ring) func() (*keyring.Ring, error) {
	return func() (*keyring.Ring, error) { return ring, nil }
}

// open opens a pool that is closed when the test ends.
func open(
	tb testing.TB, config *pgxpool.Config, ring func() (*keyring.Ring, error),
	set password.Settings,
) *password.Pool {
	tb.Helper()
	pool, err := password.Open(config, ring, set)
	require.NoError(tb, err)
	tb.Cleanup(pool.Close)
	return pool
}

// server is one that says what a test has it say to whoever connects.
type server struct {
	listener net.Listener
	answer   []pgproto3.BackendMessage
	done     sync.WaitGroup

	mu    sync.Mutex
	users []string
	heard []byte // what came after the first message
}

// serve starts a server that ends with the test.
func serve(tb testing.TB, answer ...pgproto3.BackendMessage) *server {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	s := &server{listener: listener, answer: answer}
	s.done.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.done.Go(func() { s.talk(conn) })
		}
	})
	tb.Cleanup(func() {
		assert.NoError(tb, listener.Close())
		s.done.Wait()
	})
	return s
}

func (s *server) talk(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	backend := pgproto3.NewBackend(conn, conn)
	message, err := backend.ReceiveStartupMessage()
	if err != nil {
		return
	}
	if startup, ok := message.(*pgproto3.StartupMessage); ok {
		s.mu.Lock()
		s.users = append(s.users, startup.Parameters["user"])
		s.mu.Unlock()
	}
	for _, answer := range s.answer {
		backend.Send(answer)
	}
	if backend.Flush() != nil {
		return
	}
	buffer := make([]byte, 4096)
	for {
		n, err := conn.Read(buffer)
		s.mu.Lock()
		s.heard = append(s.heard, buffer[:n]...)
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// config is the configuration of one who goes to the server.
func (s *server) config(tb testing.TB) *pgxpool.Config {
	tb.Helper()
	return configOf(tb, s.listener.Addr())
}

func configOf(tb testing.TB, address net.Addr) *pgxpool.Config {
	tb.Helper()
	host, port, err := net.SplitHostPort(address.String())
	require.NoError(tb, err)
	config, err := pgxpool.ParseConfig(fmt.Sprintf(
		"host=%s port=%s dbname=shop user=ignored password=ignored sslmode=disable", host, port))
	require.NoError(tb, err)
	return config
}

// refusal is a server's answer of a SQLSTATE.
func refusal(state string) pgproto3.BackendMessage {
	return &pgproto3.ErrorResponse{
		Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: state, Message: "no",
	}
}

// canceled is a context that has ended.
func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
