package postgres

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// Superuser is the one user that a new server has.
	Superuser = "postgres"
	// Database is the one database of its own.
	Database = "postgres"

	startWait = 60 * time.Second
	stopWait  = 20 * time.Second
	pollEvery = 50 * time.Millisecond
	logTail   = 2000
)

// Settings are those of a server. The zero value lacks a Bin.
type Settings struct {
	// Bin is the folder of the programs, as Find returns it.
	Bin string
	// Address is the IP address to listen on; empty means 127.0.0.1.
	Address string
	// Port is the port to listen on; 0 means one that is free.
	Port int
	// Certificate and Key, in PEM, have the server refuse who comes without TLS. Both or neither.
	Certificate, Key []byte
	// Options are settings of postgresql.conf by their names. They are those of the caller's code:
	// with one in the wrong place, anything may happen to the server.
	Options map[string]string
	// Parent is where the server's folder is made; empty means os.TempDir. The unprivileged user
	// must be able to get there.
	Parent string
}

// Server is a server that runs. Create it with Start. Its methods are for one goroutine.
type Server struct {
	set      Settings
	dir      string // where all that is the server's is
	port     int
	password string
	process  *exec.Cmd
	ended    chan struct{} // closed when the process has ended
	watchdog *watchdog
}

// Start makes and starts a server, and returns once it lets its superuser in. It takes seconds, and
// a minute at most. When it fails, nothing is left.
func Start(ctx context.Context, s Settings) (*Server, error) {
	s.Address = cmp.Or(s.Address, "127.0.0.1")
	if net.ParseIP(s.Address) == nil {
		return nil, fmt.Errorf("start postgres: %q is no IP address", s.Address)
	}
	if (len(s.Certificate) == 0) != (len(s.Key) == 0) {
		return nil, errHalfPair
	}
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	server := &Server{set: s, password: rand.Text()}
	err := server.start(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start postgres: %w", err), server.Stop())
	}
	return server, nil
}

var (
	errHalfPair = errors.New("start postgres: want a certificate and its key, or neither")
	errEnded    = errors.New("the server ended")
	errStuck    = errors.New("the server did not end in time and was killed")
)

func (s *Server) start(ctx context.Context) error {
	who, err := unprivileged()
	if err != nil {
		return err
	}
	// Nobody can have a folder of this name, and the watchdog knows it before it is there.
	dir, err := filepath.Abs(filepath.Join(
		cmp.Or(s.set.Parent, os.TempDir()), "certquake-postgres-"+rand.Text()))
	if err != nil {
		return err
	}
	if s.watchdog, err = watch(ctx, dir); err != nil {
		return err
	}
	if err = s.makeFolder(who, dir); err != nil {
		return err
	}
	if err = s.initialize(ctx, who); err != nil {
		return err
	}
	if s.port, err = s.freePort(ctx); err != nil {
		return err
	}
	if err := s.launch(ctx, who); err != nil {
		return err
	}
	return s.ready(ctx)
}

// makeFolder makes the folder of the server, which is the unprivileged user's.
func (s *Server) makeFolder(who *identity, dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	s.dir = dir
	for name, data := range map[string][]byte{
		"password": []byte(s.password), "server.crt": s.set.Certificate, "server.key": s.set.Key,
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			return err
		}
		if err := who.own(file); err != nil {
			return err
		}
	}
	return who.own(dir)
}

// initialize makes the data of the server, its configuration and who is let in.
func (s *Server) initialize(ctx context.Context, who *identity) error {
	//nolint:gosec // the program is the caller's choice
	command := exec.CommandContext(ctx, filepath.Join(s.set.Bin, "initdb"),
		"--pgdata", s.data(), "--username", Superuser, "--pwfile", filepath.Join(s.dir, "password"),
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-sync")
	who.become(command, s.dir)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, bytes.TrimSpace(tail(out)))
	}
	if err := os.Remove(filepath.Join(s.dir, "password")); err != nil {
		return err
	}
	kind := "host"
	if s.set.Certificate != nil {
		kind = "hostssl"
	}
	access := kind + " all all all scram-sha-256\n"
	return os.WriteFile(filepath.Join(s.data(), "pg_hba.conf"), []byte(access), 0o600)
}

// freePort returns the port to listen on. Another process may take it before the server does.
func (s *Server) freePort(ctx context.Context) (int, error) {
	if s.set.Port != 0 {
		return s.set.Port, nil
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(s.set.Address, "0"))
	if err != nil {
		return 0, err
	}
	address, _ := listener.Addr().(*net.TCPAddr)
	return address.Port, listener.Close()
}

// launch starts the server as a process of ours, in a group of its own: what a terminal sends us is
// not for it.
func (s *Server) launch(ctx context.Context, who *identity) error {
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	//nolint:gosec // the program is the caller's choice
	s.process = exec.CommandContext(context.WithoutCancel(ctx),
		filepath.Join(s.set.Bin, "postgres"), s.arguments()...)
	s.process.Stdout, s.process.Stderr = log, log
	who.become(s.process, s.dir)
	if err := s.process.Start(); err != nil {
		s.process = nil
		return err
	}
	s.ended = make(chan struct{})
	go func() {
		_ = s.process.Wait() // how it ended is in its log
		close(s.ended)
	}()
	return s.watchdog.over(s.PID())
}

// arguments are the server's. Nobody needs its data after a crash, so it waits for no disk.
func (s *Server) arguments() []string {
	options := map[string]string{
		"listen_addresses": s.set.Address, "port": strconv.Itoa(s.port),
		"unix_socket_directories": "", "password_encryption": "scram-sha-256",
		"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off",
		"shared_buffers": "16MB", "max_connections": "100",
	}
	if s.set.Certificate != nil {
		options["ssl"] = "on"
		options["ssl_cert_file"] = filepath.Join(s.dir, "server.crt")
		options["ssl_key_file"] = filepath.Join(s.dir, "server.key")
	}
	maps.Copy(options, s.set.Options)
	arguments := []string{"-D", s.data()}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		arguments = append(arguments, "-c", name+"="+options[name])
	}
	return arguments
}

// ready waits until the superuser is let in.
func (s *Server) ready(ctx context.Context) error {
	config, err := s.Config()
	if err != nil {
		return err
	}
	//nolint:forbidigo // the server is a process, and what it needs is real time
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.ended:
			return fmt.Errorf("%w: %s", errEnded, s.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("it lets nobody in: %w: %s", ctx.Err(), s.lastWords())
		case <-ticker.C:
		}
	}
}

// Config returns the configuration of the superuser. With a certificate it trusts whatever server
// there is: set TLSConfig to look at it.
func (s *Server) Config() (*pgxpool.Config, error) {
	mode := "disable"
	if s.set.Certificate != nil {
		mode = "require"
	}
	config, err := pgxpool.ParseConfig(fmt.Sprintf(
		"host=%s port=%d dbname=%s user=%s sslmode=%s require_auth=scram-sha-256 connect_timeout=5",
		s.set.Address, s.port, Database, Superuser, mode))
	if err != nil {
		return nil, err
	}
	config.ConnConfig.Password = s.password
	return config, nil
}

// Address returns where the server listens, as host:port.
func (s *Server) Address() string {
	return net.JoinHostPort(s.set.Address, strconv.Itoa(s.port))
}

// PID returns the id of the server's first process.
func (s *Server) PID() int { return s.process.Process.Pid }

// Dir returns the server's folder, which is gone after Stop.
func (s *Server) Dir() string { return s.dir }

// Log returns what the server has logged so far.
func (s *Server) Log() ([]byte, error) { return os.ReadFile(s.logFile()) }

// Stop ends the server and its sessions, and removes its folder. It may be called again.
func (s *Server) Stop() error {
	var stuck, gone error
	if s.process != nil {
		stuck = s.end()
		s.process = nil
	}
	if s.dir != "" {
		gone = os.RemoveAll(s.dir)
		s.dir = ""
	}
	var unwatched error
	if s.watchdog != nil {
		unwatched = s.watchdog.release()
		s.watchdog = nil
	}
	if err := errors.Join(stuck, gone, unwatched); err != nil {
		return fmt.Errorf("stop postgres: %w", err)
	}
	return nil
}

// end has the server end its sessions and itself: a fast shutdown, then an immediate one, then a
// kill, after which its other processes end when they find it gone.
func (s *Server) end() error {
	for i, how := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		if err := s.process.Process.Signal(how); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		//nolint:forbidigo // the server is a process, and what it needs is real time
		timer := time.NewTimer(stopWait)
		select {
		case <-s.ended:
			timer.Stop()
			if i == 2 {
				return errStuck
			}
			return nil
		case <-timer.C:
		}
	}
	return errStuck
}

// String returns where the server listens, and not the superuser's password.
func (s *Server) String() string { return "postgres at " + s.Address() }

// GoString is String.
func (s *Server) GoString() string { return s.String() }

func (s *Server) data() string    { return filepath.Join(s.dir, "data") }
func (s *Server) logFile() string { return filepath.Join(s.dir, "log") }

// lastWords returns the end of the server's log.
func (s *Server) lastWords() string {
	log, err := s.Log()
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(tail(log)))
}

func tail(text []byte) []byte { return text[max(0, len(text)-logTail):] }
