//go:build postgres

package password_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/password"
	"github.com/certquake/certquake/workloads/rotation"
)

var recycle = password.Settings{Recycle: password.RecycleOnRotation}

// TestRotationUnderLoad waits for the delivery of each step: nothing fails, neither new connections
// nor established ones, and what one user made the next one owns.
func TestRotationUnderLoad(t *testing.T) {
	s := newSite(t, password.RolesSettings{})
	s.step(rotation.Create)
	a, b := s.client(recycle), s.client(recycle)
	made := a.pool.Use(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "CREATE TABLE "+s.group+"_orders (id int)")
		return err
	})
	require.NoError(t, made.Err)
	l := run(t, a, b)
	for round := 1; round <= 2; round++ {
		s.order++
		l.settle(10)
		s.step(rotation.Publish)
		l.settle(5)
		s.deliver(a)
		l.settle(5)
		s.deliver(b)
		l.settle(5)
		s.step(rotation.Promote)
		l.settle(5)
		s.deliver(a)
		l.settle(10) // one client uses the new user, the other one the old
		s.deliver(b)
		l.settle(5)
		old := s.id(round)
		assert.Eventually(t, func() bool { return s.sessions(old) == 0 },
			10*time.Second, 20*time.Millisecond, "recycled, before they are ended")
		l.forget()
		s.step(rotation.Retire)
		l.settle(10)
		s.deliver(a, b)
		l.settle(5)
		assert.Zero(t, l.count("", "", old))
		l.requireOnly(t, password.OK)
		assert.Equal(t, []string{s.id(round + 1)}, s.users())
	}
	l.end()
	l.requireOnly(t, password.OK)
	assert.Positive(t, l.count(password.NewConnection, password.OK, s.id(3)))
	assert.Positive(t, l.count(password.Established, password.OK, s.id(3)))

	dropped := b.pool.Use(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		var owner string
		err := conn.QueryRow(ctx, "SELECT tableowner FROM pg_tables WHERE tablename = $1",
			s.group+"_orders").Scan(&owner)
		assert.Equal(t, s.group, owner)
		_, failed := conn.Exec(ctx, "DROP TABLE "+s.group+"_orders")
		return errors.Join(err, failed)
	})
	require.NoError(t, dropped.Err)
}

// TestEarlyDrop retires the old user before clients have read who is primary now.
func TestEarlyDrop(t *testing.T) {
	s := newSite(t, password.RolesSettings{})
	s.step(rotation.Create)
	c := s.client(recycle)
	l := run(t, c)
	s.order++
	s.step(rotation.Publish)
	s.deliver(c)
	s.step(rotation.Promote)
	l.settle(10)
	l.requireOnly(t, password.OK)
	s.step(rotation.Retire)
	l.settle(10)
	assert.Positive(t, l.count(password.Established, password.SessionEnded, s.id(1)))
	assert.Positive(t, l.count(password.NewConnection, password.WrongPassword, s.id(1)))
	l.requireOnly(t, password.OK, password.SessionEnded, password.WrongPassword,
		password.NotAllowed)
	s.deliver(c)
	l.settle(2)
	l.forget()
	l.settle(10)
	l.requireOnly(t, password.OK)
	assert.Zero(t, l.count("", "", s.id(1)))
}

// TestEarlyPromotion makes a user primary for clients before it is on the server, which Prepare
// keeps a driver from.
func TestEarlyPromotion(t *testing.T) {
	s := newSite(t, password.RolesSettings{})
	s.step(rotation.Create)
	s.order++
	d, secret := s.decide()
	require.Equal(t, rotation.Publish, d.Action)
	s.write(secret)
	d, secret = s.decide()
	require.Equal(t, rotation.Promote, d.Action)
	s.write(secret)
	c := s.client(recycle)
	assert.Equal(t, password.WrongPassword, c.pool.Probe(t.Context()).Outcome)
	require.NoError(t, s.roles.Prepare(t.Context(), d, secret))
	assert.Equal(t, password.OK, c.pool.Probe(t.Context()).Outcome)
}

// naive is a site of one user whose password changes in place.
func naive(t *testing.T) *site {
	t.Helper()
	s := newSite(t, password.RolesSettings{})
	super(t, "ALTER ROLE "+s.group+" LOGIN")
	s.files = map[string][]byte{"r1.password.primary": []byte("naive-one-" + s.group)}
	require.NoError(t, s.roles.Replace(t.Context(), s.group, s.ring().Primary()))
	return s
}

// TestNaiveChange writes the Secret and changes the password at one moment. Whoever is connected
// stays so; nobody else can connect until the new password has been read.
func TestNaiveChange(t *testing.T) {
	s := naive(t)
	words.Store("naive-two-"+s.group, true)
	c := s.client(password.Settings{Recycle: password.Keep, User: s.group})
	l := run(t, c)
	l.settle(10)
	l.requireOnly(t, password.OK)
	l.forget()

	s.files = map[string][]byte{"r2.password.primary": []byte("naive-two-" + s.group)}
	require.NoError(t, s.roles.Replace(t.Context(), s.group, s.ring().Primary()))
	l.settle(10)
	assert.Positive(t, l.count(password.NewConnection, password.WrongPassword, s.group))
	assert.Positive(t, l.count(password.Established, password.OK, s.group))
	assert.Zero(t, l.count(password.Established, password.WrongPassword, ""))
	l.requireOnly(t, password.OK, password.WrongPassword)

	s.deliver(c)
	l.settle(2)
	l.forget()
	l.settle(10)
	l.requireOnly(t, password.OK)
}

// TestChangeUnderOneID changes the password of a key in place too: a ring refuses that for good, so
// the outage does not end with the delivery.
func TestChangeUnderOneID(t *testing.T) {
	s := naive(t)
	words.Store("naive-two-"+s.group, true)
	c := s.client(password.Settings{Recycle: password.Keep, User: s.group})
	require.Equal(t, password.OK, c.pool.Probe(t.Context()).Outcome)
	s.files = map[string][]byte{"r1.password.primary": []byte("naive-two-" + s.group)}
	require.NoError(t, s.roles.Replace(t.Context(), s.group, s.ring().Primary()))
	s.deliver(c)
	assert.Equal(t, password.WrongPassword, c.pool.Probe(t.Context()).Outcome)
	problem, ok := errors.AsType[*keyring.ReadError](c.keys.Status().Err)
	require.True(t, ok)
	assert.Equal(t, keyring.Reused, problem.Problem)
}

// TestRollback goes back to the old user, which has not been touched.
func TestRollback(t *testing.T) {
	s := newSite(t, password.RolesSettings{})
	s.step(rotation.Create)
	s.order++
	s.step(rotation.Publish)
	s.step(rotation.Promote)
	c := s.client(recycle)
	l := run(t, c)
	l.settle(3)
	d := rotation.Decide(rotation.Input{
		Spec: s.spec, Names: rotation.Names(s.files), State: s.state, Now: s.now,
		Orders: rotation.Orders{Rotate: "1", Reject: s.id(2)},
	})
	require.Equal(t, rotation.Rollback, d.Action)
	secret, err := rotation.Apply(d, s.files, rotation.Source{})
	require.NoError(t, err)
	require.NoError(t, s.roles.Prepare(t.Context(), d, secret))
	s.write(secret)
	s.deliver(c)
	l.settle(5)
	l.requireOnly(t, password.OK)
	assert.Positive(t, l.count(password.NewConnection, password.OK, s.id(1)))
}

// TestPolicies promotes another user beside idle pools.
func TestPolicies(t *testing.T) {
	s := newSite(t, password.RolesSettings{})
	s.step(rotation.Create)
	policies := map[password.Recycle]*client{
		password.Keep:              s.client(password.Settings{Recycle: password.Keep}),
		password.RecycleOnRotation: s.client(recycle),
		password.MaxLifetime: s.client(password.Settings{
			Recycle: password.MaxLifetime, MaxLifetime: 300 * time.Millisecond,
		}),
	}
	for _, c := range policies {
		first := c.pool.Use(t.Context(), query)
		assert.Equal(t, password.Attempt{
			Promise: password.NewConnection, Outcome: password.OK, User: s.id(1),
		}, first)
	}
	s.order++
	s.step(rotation.Publish)
	s.step(rotation.Promote)
	for recycled, c := range policies {
		s.deliver(c)
		require.NoError(t, c.pool.Refresh())
		if recycled == password.MaxLifetime {
			continue // it may be over by now, on a slow machine
		}
		want := map[password.Recycle]password.Attempt{
			password.Keep: {Promise: password.Established, Outcome: password.OK, User: s.id(1)},
			password.RecycleOnRotation: {
				Promise: password.NewConnection, Outcome: password.OK, User: s.id(2),
			},
		}
		assert.Equal(t, want[recycled], c.pool.Use(t.Context(), query))
	}
	assert.Eventually(t, func() bool { return s.sessions(s.id(1)) == 1 },
		10*time.Second, 20*time.Millisecond, "the one that is kept")
	assert.Equal(t, s.id(2), policies[password.MaxLifetime].pool.Use(t.Context(), query).User)
	assert.Equal(t, s.id(1), policies[password.Keep].pool.Use(t.Context(), query).User)
}
