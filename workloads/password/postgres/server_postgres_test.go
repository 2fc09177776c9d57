//go:build postgres

package postgres

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// usual is where there may be a server that no package of Debian's brought.
const usual = "/usr/local/pgsql/bin:/usr/local/bin:/usr/bin"

const asOwner = "CERTQUAKE_TEST_POSTGRES_OWNER"

// asChild makes a process of a test own a server until it is killed.
func asChild() []goleak.Option {
	parent := os.Getenv(asOwner) //nolint:forbidigo // a process that a test starts
	if parent == "" {
		return nil
	}
	bin, err := Find(usual)
	if err != nil {
		panic(err)
	}
	server, err := Start(context.Background(), Settings{Bin: bin, Parent: parent})
	if err != nil {
		panic(err)
	}
	_, _ = fmt.Fprintln(os.Stdout, server.PID(), server.watchdog.shell.Process.Pid, server.Dir())
	select {}
}

func start(t *testing.T, s Settings) *Server {
	t.Helper()
	var err error
	s.Bin, err = Find(usual)
	require.NoError(t, err)
	server, err := Start(t.Context(), s)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	return server
}

// ask returns the answer to a question to the server.
func ask(t *testing.T, config *pgx.ConnConfig, question string) string {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	var answer string
	require.NoError(t, conn.QueryRow(t.Context(), question).Scan(&answer))
	return answer
}

func runs(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func TestServer(t *testing.T) {
	parent := open(t)
	server := start(t, Settings{Parent: parent, Options: map[string]string{"work_mem": "1MB"}})
	config, err := server.Config()
	require.NoError(t, err)
	assert.Equal(t, "1MB", ask(t, config.ConnConfig, "SHOW work_mem"))
	assert.Equal(t, "127.0.0.1", ask(t, config.ConnConfig, "SHOW listen_addresses"))
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v %s", server, server, server, server),
		server.password)
	if os.Geteuid() == 0 {
		info, statErr := os.Stat(fmt.Sprintf("/proc/%d", server.PID()))
		require.NoError(t, statErr)
		assert.NotZero(t, info.Sys().(*syscall.Stat_t).Uid, "not as root")
	}

	config.ConnConfig.Password = "wrong"
	_, err = pgx.ConnectConfig(t.Context(), config.ConnConfig)
	refused, ok := errors.AsType[*pgconn.PgError](err)
	require.True(t, ok)
	assert.Equal(t, "28P01", refused.Code)
	log, err := server.Log()
	require.NoError(t, err)
	assert.Contains(t, string(log), "password authentication failed")
	assert.NotContains(t, string(log), server.password)

	pid, dog, dir := server.PID(), server.watchdog.shell.Process.Pid, server.Dir()
	require.NoError(t, server.Stop())
	assert.False(t, runs(pid))
	assert.False(t, runs(dog))
	assert.NoDirExists(t, dir)
	assert.True(t, empty(parent))
	require.NoError(t, server.Stop(), "again")
}

// TestCertificate has a server that lets nobody in without TLS, nor by a certificate that is not
// trusted.
func TestCertificate(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	server := start(t, Settings{
		Certificate: certificate,
		Key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	})
	config, err := server.Config()
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(certificate))
	config.ConnConfig.TLSConfig = &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
	config.ConnConfig.ChannelBinding = "require"
	assert.Equal(t, "true", ask(t, config.ConnConfig,
		"SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))

	config.ConnConfig.TLSConfig = &tls.Config{ServerName: "127.0.0.1"}
	_, err = pgx.ConnectConfig(t.Context(), config.ConnConfig)
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	assert.True(t, ok, "%v", err)
	config.ConnConfig.TLSConfig, config.ConnConfig.ChannelBinding = nil, "prefer"
	_, err = pgx.ConnectConfig(t.Context(), config.ConnConfig)
	refused, ok := errors.AsType[*pgconn.PgError](err)
	require.True(t, ok)
	assert.Equal(t, "28000", refused.Code, "no line of pg_hba.conf")
}

// TestLastWords has a server that cannot start: the error has what its log says, and nothing stays.
func TestLastWords(t *testing.T) {
	bin, err := Find(usual)
	require.NoError(t, err)
	parent := open(t)
	_, err = Start(t.Context(), Settings{
		Bin: bin, Parent: parent, Options: map[string]string{"shared_buffers": "lots"},
	})
	require.ErrorIs(t, err, errEnded)
	assert.Contains(t, err.Error(), `"shared_buffers"`)
	assert.True(t, empty(parent))
}

// own starts a process that owns a server, and returns what it says once that is up.
func own(t *testing.T, parent string) (*exec.Cmd, io.Reader) {
	t.Helper()
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), asOwner+"="+parent)
	owner.Stderr = os.Stderr
	stdout, err := owner.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, owner.Start())
	return owner, stdout
}

// empty reports whether nothing is in a folder.
func empty(dir string) bool {
	left, err := os.ReadDir(dir)
	return err == nil && len(left) == 0
}

// TestOwnerKilledEarly kills the process that owns a server while that is being made.
func TestOwnerKilledEarly(t *testing.T) {
	for _, made := range []string{"", "data", "data/PG_VERSION", "data/postgresql.conf", "log"} {
		t.Run("at "+made, func(t *testing.T) {
			parent := open(t)
			owner, _ := own(t, parent)
			require.Eventually(t, func() bool {
				found, err := filepath.Glob(filepath.Join(parent, "*", made))
				return err == nil && len(found) > 0
			}, 30*time.Second, time.Millisecond)
			require.NoError(t, owner.Process.Kill())
			require.Error(t, owner.Wait())
			assert.Eventually(t, func() bool { return empty(parent) },
				30*time.Second, 20*time.Millisecond)
		})
	}
}

// TestKilledOwner kills the process that owns a server: the server and its folder go.
func TestKilledOwner(t *testing.T) {
	parent := open(t)
	owner, stdout := own(t, parent)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	words := strings.Fields(line)
	require.Len(t, words, 3)
	pid, err := strconv.Atoi(words[0])
	require.NoError(t, err)
	dog, err := strconv.Atoi(words[1])
	require.NoError(t, err)
	require.True(t, runs(pid))
	require.DirExists(t, words[2])

	require.NoError(t, owner.Process.Kill())
	require.Error(t, owner.Wait())
	// The watchdog ends the server: if it only took the folder away, it would take longer.
	assert.Eventually(t, func() bool { return empty(parent) && gone(pid) && gone(dog) },
		9*time.Second, 20*time.Millisecond)
}

// gone reports whether a process has ended. Where nobody adopts orphans it stays as a zombie.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !runs(pid)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z")
}
