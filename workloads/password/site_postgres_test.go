//go:build postgres

package password_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/password"
	"github.com/certquake/certquake/workloads/password/postgres"
	"github.com/certquake/certquake/workloads/rotation"
)

var (
	// running is the one server of all tests. Each has a group of its own on it.
	running *postgres.Server
	groups  atomic.Int64
	// words are all passwords that tests gave to the server.
	words sync.Map
)

// whole starts the server before the tests, and after them looks through its log, which has every
// statement, and stops it.
func whole(*testing.M) []goleak.Option {
	bin, err := postgres.Find("/usr/local/pgsql/bin:/usr/local/bin:/usr/bin")
	if err == nil {
		running, err = postgres.Start(context.Background(), postgres.Settings{
			Bin: bin, Options: map[string]string{
				"log_statement": "all", "log_connections": "on", "log_min_messages": "info",
			},
		})
	}
	if err == nil {
		err = admit()
	}
	if err != nil {
		panic(err)
	}
	return []goleak.Option{goleak.IgnoreCurrent(), goleak.Cleanup(func(code int) {
		for _, wrong := range []error{search(), running.Stop()} {
			if wrong != nil {
				_, _ = fmt.Fprintln(os.Stderr, wrong)
				code = 1
			}
		}
		os.Exit(code)
	})}
}

// admit makes the one that carries rotations out, which is no superuser.
func admit() error {
	config, err := running.Config()
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(context.Background(), config.ConnConfig)
	if err != nil {
		return err
	}
	verifier, err := password.Verifier([]byte(secret), rand.Reader)
	if err != nil {
		return err
	}
	words.Store(secret, true)
	_, err = conn.Exec(context.Background(), "CREATE ROLE rotator LOGIN CREATEROLE PASSWORD '"+
		verifier+"'; GRANT pg_signal_backend TO rotator; GRANT CREATE ON SCHEMA public TO public")
	if err != nil {
		return err
	}
	return conn.Close(context.Background())
}

// visible is a password that a test sends in the clear, to see that the log would show it.
const visible = "shown-in-the-log-4711"

var (
	passwords = regexp.MustCompile(`PASSWORD '([^']*)'`)
	verifiers = regexp.MustCompile(`^SCRAM-SHA-256\$4096:[A-Za-z0-9+/=]{24}\$[A-Za-z0-9+/=]{44}:` +
		`[A-Za-z0-9+/=]{44}$`)
)

// search returns an error if there is a password in the log, or anything in the place of one that
// is not a verifier.
func search() error {
	log, err := running.Log()
	if err != nil {
		return err
	}
	words.Range(func(word, _ any) bool {
		if bytes.Contains(log, []byte(word.(string))) {
			err = fmt.Errorf("the server's log has a password: %v", word)
		}
		return err == nil
	})
	for _, found := range passwords.FindAllSubmatch(log, -1) {
		if string(found[1]) != visible && !verifiers.Match(found[1]) {
			err = fmt.Errorf("the server's log has %s", found[0])
		}
	}
	return err
}

// super runs statements as the superuser.
func super(t *testing.T, statements ...string) {
	t.Helper()
	conn := superConn(t)
	for _, statement := range statements {
		_, err := conn.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
}

func superConn(t *testing.T) *pgx.Conn {
	t.Helper()
	config, err := running.Config()
	require.NoError(t, err)
	conn, err := pgx.ConnectConfig(t.Context(), config.ConnConfig)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, conn.Close(context.Background())) })
	return conn
}

// rotator is the configuration of the one that carries rotations out.
func rotator(t *testing.T) *pgx.ConnConfig {
	t.Helper()
	config, err := running.Config()
	require.NoError(t, err)
	config.ConnConfig.User, config.ConnConfig.Password = "rotator", secret
	return config.ConnConfig
}

// site is a Secret, its rotation, and the group of users on the server.
type site struct {
	t     *testing.T
	group string
	roles *password.Roles
	spec  rotation.Spec
	now   time.Time

	files map[string][]byte
	state *rotation.State
	order int
}

func newSite(t *testing.T, set password.RolesSettings) *site {
	t.Helper()
	s := &site{t: t, now: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}
	if s.group = set.Group; s.group == "" {
		s.group = fmt.Sprintf("app%d", groups.Add(1))
	}
	set.Group = s.group
	var err error
	s.roles, err = password.NewRoles(rotator(t), set)
	require.NoError(t, err)
	require.NoError(t, s.roles.Setup(t.Context()))
	s.spec = rotation.Spec{ // the tests wait, and not the machine
		Generate: rotation.Key{Kind: rotation.Password, Length: 32}, Gate: rotation.Time,
		UptakeTimeout: time.Hour, IDs: rotation.Counter, Prefix: s.group + "_r",
	}
	return s
}

// id returns the id of the n-th key.
func (s *site) id(n int) string { return fmt.Sprintf("%s_r%d", s.group, n) }

// decide returns what is to be done now, and the Secret it makes.
func (s *site) decide() (rotation.Decision, rotation.Secret) {
	s.t.Helper()
	s.now = s.now.Add(time.Second)
	d := rotation.Decide(rotation.Input{
		Spec: s.spec, Names: rotation.Names(s.files), State: s.state, Now: s.now,
		Orders: rotation.Orders{Rotate: strconv.Itoa(s.order)},
	})
	secret, err := rotation.Apply(d, s.files, rotation.Source{Random: rand.Reader})
	require.NoError(s.t, err)
	for _, word := range secret.Files {
		words.Store(string(word), true)
	}
	return d, secret
}

// step takes the next step of the rotation, which must be the wanted one.
func (s *site) step(want rotation.Action) {
	s.t.Helper()
	d, secret := s.decide()
	require.Equal(s.t, want, d.Action)
	require.NoError(s.t, s.roles.Prepare(s.t.Context(), d, secret))
	s.write(secret)
}

// write writes the Secret.
func (s *site) write(secret rotation.Secret) { s.files, s.state = secret.Files, &secret.State }

// ring returns the ring of the Secret.
func (s *site) ring() *keyring.Ring {
	s.t.Helper()
	ring, err := password.RingOf(s.files)
	require.NoError(s.t, err)
	return ring
}

// users are those of the group on the server.
func (s *site) users() []string {
	s.t.Helper()
	users, err := s.roles.Users(s.t.Context())
	require.NoError(s.t, err)
	return users
}

// sessions counts those of a user, by what the superuser sees.
func (s *site) sessions(user string) int {
	s.t.Helper()
	var n int
	require.NoError(s.t, superConn(s.t).QueryRow(s.t.Context(),
		"SELECT count(*) FROM pg_stat_activity WHERE usename = $1", user).Scan(&n))
	return n
}

// client is an application: a volume on its node, a ring read from that at each demand, a pool.
type client struct {
	volume *credential.Volume
	keys   *keyring.Keyring
	pool   *password.Pool
}

// client returns one to which the Secret has been delivered as it is.
func (s *site) client(set password.Settings) *client {
	s.t.Helper()
	c := &client{volume: credential.NewVolume()}
	c.keys = keyring.New(c.volume, keyring.Settings{
		Parts: []keyring.Part{password.Part}, Check: password.Check, TTL: time.Nanosecond,
	})
	s.deliver(c)
	c.pool = open(s.t, s.config(), c.keys.Ring, set)
	return c
}

// config is the configuration of clients, with a pool of three.
func (s *site) config() *pgxpool.Config {
	s.t.Helper()
	config, err := running.Config()
	require.NoError(s.t, err)
	config.MaxConns = 3
	return config
}

// deliver has a client's node catch up with the Secret.
func (s *site) deliver(clients ...*client) {
	for _, c := range clients {
		c.volume.Project("v", s.files)
	}
}

// query is one that needs the session to live for a while.
func query(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SELECT pg_sleep(0.005)")
	return err
}
