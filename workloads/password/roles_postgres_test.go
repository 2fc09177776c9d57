//go:build postgres

package password_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/password"
	"github.com/certquake/certquake/workloads/rotation"
)

// requireProblem asserts what an error is.
func requireProblem(t *testing.T, want password.Problem, err error) {
	t.Helper()
	got, ok := errors.AsType[*password.RoleError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, want, got.Problem, "%v", err)
}

// TestPromises has one pool meet what happens to its user: each breaks one promise.
func TestPromises(t *testing.T) {
	s := newSite(t, password.RolesSettings{})
	s.step(rotation.Create)
	user := s.id(1)
	pool := s.client(password.Settings{Recycle: password.Keep}).pool
	kept := password.Attempt{Promise: password.Established, Outcome: password.OK, User: user}
	require.Equal(t, password.OK, pool.Use(t.Context(), query).Outcome)
	rows := []struct {
		name, did string
		want      password.Outcome
	}{
		{"no login", "ALTER ROLE " + user + " NOLOGIN", password.NotAllowed},
		{"login again", "ALTER ROLE " + user + " LOGIN", password.OK},
		{"no more", "ALTER ROLE " + user + " CONNECTION LIMIT 1", password.TooManyConnections},
		{"no limit", "ALTER ROLE " + user + " CONNECTION LIMIT -1", password.OK},
		{"over", "ALTER ROLE " + user + " VALID UNTIL '2000-01-01'", password.WrongPassword},
		{"no end", "ALTER ROLE " + user + " VALID UNTIL 'infinity'", password.OK},
		{"none", "ALTER ROLE " + user + " PASSWORD NULL", password.WrongPassword},
	}
	for _, row := range rows {
		super(t, row.did)
		// The connection of the probe before may still count.
		assert.Eventually(t, func() bool { return pool.Probe(t.Context()).Outcome == row.want },
			10*time.Second, 20*time.Millisecond, row.name)
		assert.Equal(t, kept, pool.Use(t.Context(), query), row.name)
	}
	require.NoError(t, s.roles.Reconcile(t.Context(), s.ring()))
	assert.Equal(t, password.OK, pool.Probe(t.Context()).Outcome, "reconciled")
	assert.Equal(t, kept, pool.Use(t.Context(), query))

	admin := superConn(t)
	ended := pool.Use(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		_, err := admin.Exec(ctx, "SELECT pg_terminate_backend($1)", int32(conn.PgConn().PID()))
		return errors.Join(err, query(ctx, conn))
	})
	assert.Equal(t, password.SessionEnded, ended.Outcome)
	again := pool.Use(t.Context(), query)
	assert.Equal(t, password.Attempt{
		Promise: password.NewConnection, Outcome: password.OK, User: user,
	}, again)
	failed := pool.Use(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SELECT 1/0")
		return err
	})
	assert.Equal(t, password.QueryFailed, failed.Outcome)
	assert.Equal(t, password.Established, failed.Promise)
	super(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+user+"'")
	idle := pool.Use(t.Context(), query)
	assert.Equal(t, password.Established, idle.Promise)
	assert.Equal(t, password.SessionEnded, idle.Outcome)
}

// TestQueue has a pool whose only connection is in use, and one that gives up during a query.
func TestQueue(t *testing.T) {
	s := newSite(t, password.RolesSettings{})
	s.step(rotation.Create)
	config := s.config()
	config.MaxConns = 1
	pool := open(t, config, always(s.ring()), recycle)
	outer := pool.Use(t.Context(), func(ctx context.Context, _ *pgx.Conn) error {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		waited := pool.Use(ctx, query)
		assert.Empty(t, waited.Promise)
		assert.Equal(t, password.Canceled, waited.Outcome)
		return nil
	})
	require.Equal(t, password.OK, outer.Outcome)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	gaveUp := pool.Use(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SELECT pg_sleep(60)")
		return err
	})
	assert.Equal(t, password.Canceled, gaveUp.Outcome)
	assert.Equal(t, password.Established, gaveUp.Promise)
}

// TestKeepInUse refuses to retire a user that has a session, which can go on and come again.
func TestKeepInUse(t *testing.T) {
	s := newSite(t, password.RolesSettings{Sessions: password.KeepInUse})
	s.step(rotation.Create)
	pool := s.client(recycle).pool
	during := pool.Use(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		requireProblem(t, password.InUse, s.roles.Retire(ctx, s.id(1)))
		return query(ctx, conn)
	})
	require.Equal(t, password.OK, during.Outcome)
	require.Equal(t, password.OK, pool.Probe(t.Context()).Outcome)
	pool.Close()
	assert.Eventually(t, func() bool { return s.roles.Retire(t.Context(), s.id(1)) == nil },
		10*time.Second, 20*time.Millisecond)
	assert.Empty(t, s.users())
	assert.NoError(t, s.roles.Retire(t.Context(), s.id(1)), "again")
}

// TestKeepInUseAfterACrash finds a session of a user whose LOGIN is gone already.
func TestKeepInUseAfterACrash(t *testing.T) {
	s := newSite(t, password.RolesSettings{Sessions: password.KeepInUse})
	s.step(rotation.Create)
	pool := s.client(password.Settings{Recycle: password.Keep}).pool
	require.Equal(t, password.OK, pool.Use(t.Context(), query).Outcome)
	super(t, "ALTER ROLE "+s.id(1)+" NOLOGIN")
	requireProblem(t, password.InUse, s.roles.Retire(t.Context(), s.id(1)))
	assert.Equal(t, password.OK, pool.Probe(t.Context()).Outcome, "as it was")
}

// TestOwns keeps a user that something belongs to, without its LOGIN, until that has moved.
func TestOwns(t *testing.T) {
	s := newSite(t, password.RolesSettings{})
	s.step(rotation.Create)
	table := s.group + "_own"
	made := s.client(recycle).pool.Use(t.Context(), func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, "SET ROLE NONE; CREATE TABLE "+table+" (id int)")
		return err
	})
	require.NoError(t, made.Err)
	requireProblem(t, password.Owns, s.roles.Retire(t.Context(), s.id(1)))
	requireProblem(t, password.CannotLogin, s.roles.Prove(t.Context(), s.ring().Primary()))
	super(t, fmt.Sprintf("REASSIGN OWNED BY %s TO %s", s.id(1), s.group))
	require.NoError(t, s.roles.Retire(t.Context(), s.id(1)))
	super(t, "DROP TABLE "+table)
}

// TestForeign leaves roles alone that no rotation made, whatever their ids are in a Secret.
func TestForeign(t *testing.T) {
	s := newSite(t, password.RolesSettings{})
	theirs := s.group + "_theirs"
	super(t, "CREATE ROLE "+theirs+" LOGIN", "GRANT "+s.group+" TO "+theirs)
	for _, name := range []string{"postgres", "rotator", theirs} {
		requireProblem(t, password.Foreign, s.roles.Admit(t.Context(), keyOf(t, name, secret)))
		requireProblem(t, password.Foreign, s.roles.Retire(t.Context(), name))
	}
	other := newSite(t, password.RolesSettings{})
	other.step(rotation.Create)
	requireProblem(t, password.Foreign, s.roles.Retire(t.Context(), other.id(1)))
	requireProblem(t, password.Foreign,
		s.roles.Admit(t.Context(), keyOf(t, other.id(1), secret)))
	s.step(rotation.Create)
	require.NoError(t, s.roles.Reconcile(t.Context(), s.ring()))
	assert.Equal(t, []string{s.id(1)}, s.users())
	other.works()

	var login bool
	require.NoError(t, superConn(t).QueryRow(t.Context(),
		"SELECT rolcanlogin FROM pg_roles WHERE rolname = $1", theirs).Scan(&login))
	assert.True(t, login)
}

// TestNames has names that would be other SQL if they were not quoted.
func TestNames(t *testing.T) {
	hostile := `we"ird'; DROP ROLE rotator; --`
	s := newSite(t, password.RolesSettings{Group: hostile})
	words.Store(`'; DROP ROLE rotator; --\ `+"`", true)
	key := keyOf(t, "Weird-1.x", `'; DROP ROLE rotator; --\ `+"`")
	require.NoError(t, s.roles.Admit(t.Context(), key))
	require.NoError(t, s.roles.Prove(t.Context(), key))
	assert.Equal(t, []string{"Weird-1.x"}, s.users())
	require.NoError(t, s.roles.Retire(t.Context(), hostile+"x"), "no such user")
	require.NoError(t, s.roles.Retire(t.Context(), "Weird-1.x"))
	assert.Empty(t, s.users())
	requireProblem(t, password.NoRole, s.roles.Replace(t.Context(), hostile+"x", key))
}

// TestWrongGroup finds a user whose setting somebody changed, and puts it right.
func TestWrongGroup(t *testing.T) {
	s := newSite(t, password.RolesSettings{})
	s.step(rotation.Create)
	super(t, "ALTER ROLE "+s.id(1)+" RESET role")
	requireProblem(t, password.WrongGroup, s.roles.Prove(t.Context(), s.ring().Primary()))
	require.NoError(t, s.roles.Reconcile(t.Context(), s.ring()))
	require.NoError(t, s.roles.Prove(t.Context(), s.ring().Primary()))
	super(t, "REVOKE "+s.group+" FROM "+s.id(1))
	require.NoError(t, s.roles.Reconcile(t.Context(), s.ring()))
	require.NoError(t, s.roles.Prove(t.Context(), s.ring().Primary()))
}

// TestProblems has what else can be wrong with who rotates, the group and the Secret.
func TestProblems(t *testing.T) {
	s := newSite(t, password.RolesSettings{})
	s.step(rotation.Create)
	key := s.ring().Primary()

	config := rotator(t)
	config.User, config.Password = key.ID, string(key.Bytes(password.Part))
	asUser, err := password.NewRoles(config, password.RolesSettings{Group: s.group})
	require.NoError(t, err)
	requireProblem(t, password.Forbidden, asUser.Admit(t.Context(), key))
	config.Password = "wrong"
	wrong, err := password.NewRoles(config, password.RolesSettings{Group: s.group})
	require.NoError(t, err)
	err = wrong.Setup(t.Context())
	requireProblem(t, password.Database, err)
	cause, ok := errors.AsType[*password.ConnectError](err)
	require.True(t, ok)
	assert.Equal(t, password.WrongPassword, cause.Outcome)

	none, err := password.NewRoles(rotator(t), password.RolesSettings{Group: "nobody-here"})
	require.NoError(t, err)
	requireProblem(t, password.NoRole, none.Admit(t.Context(), key))
	missing := rotation.Decision{Action: rotation.Promote, To: "r9"}
	requireProblem(t, password.NoKey, s.roles.Prepare(t.Context(), missing,
		rotation.Secret{Files: s.files}))
	requireProblem(t, password.NoKey, s.roles.Prepare(t.Context(), missing, rotation.Secret{}))
}

// TestConcurrentSteps has many do and undo the same: none fails, and the last one counts.
func TestConcurrentSteps(t *testing.T) {
	s := newSite(t, password.RolesSettings{})
	key := keyOf(t, s.id(1), secret)
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			for range 4 {
				errs := []error{s.roles.Setup(context.Background())}
				if i%3 == 0 {
					errs = append(errs, s.roles.Retire(context.Background(), s.id(1)))
				} else {
					errs = append(errs, s.roles.Admit(context.Background(), key))
				}
				assert.NoError(t, errors.Join(errs...))
			}
		})
	}
	all.Wait()
	require.NoError(t, s.roles.Admit(t.Context(), key))
	require.NoError(t, s.roles.Prove(t.Context(), key))
	assert.Equal(t, []string{s.id(1)}, s.users())
}

// TestConcurrentUse closes a pool under those who use it.
func TestConcurrentUse(t *testing.T) {
	s := newSite(t, password.RolesSettings{})
	s.step(rotation.Create)
	c := s.client(recycle)
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			for {
				a := c.pool.Use(context.Background(), query)
				if a.Outcome == password.Canceled {
					return
				}
				assert.Equal(t, password.OK, a.Outcome)
			}
		})
	}
	for range 20 {
		assert.Equal(t, password.OK, c.pool.Probe(t.Context()).Outcome)
	}
	c.pool.Close()
	all.Wait()
}

// TestLogWouldShow sends a password in the clear: the search of the log at the end can fail.
func TestLogWouldShow(t *testing.T) {
	super(t, "DROP ROLE IF EXISTS shown", "CREATE ROLE shown PASSWORD '"+visible+"'")
	log, err := running.Log()
	require.NoError(t, err)
	assert.Contains(t, string(log), visible)
	require.NoError(t, search())
	words.Store(visible, true)
	defer words.Delete(visible)
	require.Error(t, search())
}
