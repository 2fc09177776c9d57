//go:build postgres

package password_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/password"
	"github.com/certquake/certquake/workloads/rotation"
)

// crash cuts the connection off before the statement of a number, counted from 1 over all
// connections, and lets nothing through after it: whoever sent it is dead.
type crash struct {
	at   int64
	sent atomic.Int64
}

func (c *crash) TraceQueryStart(
	ctx context.Context, conn *pgx.Conn, _ pgx.TraceQueryStartData,
) context.Context {
	if c.sent.Add(1) >= c.at {
		_ = conn.PgConn().Conn().Close()
	}
	return ctx
}

func (*crash) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// rotate goes through a whole rotation as one process after another, each of which is killed at the
// first crash of its own. It returns how often that was.
func (s *site) rotate(crashes ...*crash) int {
	s.t.Helper()
	killed := 0
	var kept *client
	for _, want := range []rotation.Action{
		rotation.Create, rotation.Publish, rotation.Promote, rotation.Retire,
	} {
		if want == rotation.Publish {
			s.order++
			kept = s.client(password.Settings{Recycle: password.Keep})
			require.Equal(s.t, password.OK, kept.pool.Use(s.t.Context(), query).Outcome)
		}
		for {
			roles := s.roles
			if killed < len(crashes) {
				config := rotator(s.t)
				config.Tracer = crashes[killed]
				var err error
				roles, err = password.NewRoles(config, password.RolesSettings{Group: s.group})
				require.NoError(s.t, err)
			}
			d, secret := s.decide()
			require.Equal(s.t, want, d.Action)
			err := roles.Prepare(s.t.Context(), d, secret)
			if err == nil {
				s.write(secret)
				break
			}
			require.Less(s.t, killed, len(crashes), "%v", err)
			killed++
			s.works()
		}
		s.works()
	}
	var nobodys int
	require.NoError(s.t, superConn(s.t).QueryRow(s.t.Context(), `SELECT count(*)
		FROM pg_stat_activity WHERE usesysid NOT IN (SELECT oid FROM pg_roles)`).Scan(&nobodys))
	assert.Zero(s.t, nobodys, "sessions of users that are gone")
	kept.pool.Close()
	return killed
}

// works asserts that those who have read the Secret as it is can connect.
func (s *site) works() {
	s.t.Helper()
	if s.files == nil {
		return
	}
	c := s.client(recycle)
	got := c.pool.Probe(s.t.Context())
	assert.Equal(s.t, password.OK, got.Outcome, "%v", got.Err)
	c.pool.Close()
}

// TestCrashAnywhere kills the rotation before each of its statements, once and twice in a row.
func TestCrashAnywhere(t *testing.T) {
	s := newSite(t, password.RolesSettings{})
	unharmed := &crash{at: 1 << 40}
	require.Zero(t, s.rotate(unharmed))
	total := int(unharmed.sent.Load())
	require.Greater(t, total, 20)
	t.Logf("%d statements", total)
	for at := 1; at <= total; at++ {
		s := newSite(t, password.RolesSettings{})
		crashes := []*crash{{at: int64(at)}, {at: int64(1 + at%5)}}
		require.Equal(t, 2, s.rotate(crashes...), "statement %d", at)
		assert.Equal(t, []string{s.id(2)}, s.users(), "statement %d", at)
		require.NoError(t, s.roles.Prove(t.Context(), s.ring().Primary()), "statement %d", at)
	}
}

// TestLostWrites has the server prepared and the Secret not written, as when another driver wrote
// it meanwhile. A password of the same id is replaced; one of another id leaves a user behind,
// which a later Reconcile retires.
func TestLostWrites(t *testing.T) {
	for _, ids := range []rotation.IDKind{rotation.Counter, rotation.UUID} {
		t.Run(string(ids), func(t *testing.T) {
			s := newSite(t, password.RolesSettings{})
			s.spec.IDs = ids
			if ids == rotation.UUID {
				s.spec.Prefix = s.group + "_"
			}
			s.step(rotation.Create)
			s.order++
			for range 2 {
				d, secret := s.decide()
				require.Equal(t, rotation.Publish, d.Action)
				require.NoError(t, s.roles.Prepare(t.Context(), d, secret))
			}
			s.step(rotation.Publish)
			if ids == rotation.UUID {
				require.Len(t, s.users(), 4)
			}
			require.NoError(t, s.roles.Reconcile(t.Context(), s.ring()))
			assert.Equal(t, s.ring().IDs(), s.users())
			s.step(rotation.Promote)
			s.works()
		})
	}
}

// TestPromotionHeals has another driver overwrite the password of the new user: it is put right
// before the user becomes primary.
func TestPromotionHeals(t *testing.T) {
	s := newSite(t, password.RolesSettings{})
	s.step(rotation.Create)
	s.order++
	s.step(rotation.Publish)
	words.Store("another-"+s.id(2), true)
	require.NoError(t, s.roles.Admit(t.Context(), keyOf(t, s.id(2), "another-"+s.id(2))))
	s.step(rotation.Promote)
	s.works()
}
