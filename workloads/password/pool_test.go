package password_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/password"
)

var keep = password.Settings{Recycle: password.Keep}

// unused is what nobody gets to do.
func unused(context.Context, *pgx.Conn) error { return errors.New("there was a connection") }

// TestRefusals goes by SQLSTATE alone: all messages are the same.
func TestRefusals(t *testing.T) {
	rows := map[string]password.Outcome{
		"28P01": password.WrongPassword,
		"28000": password.NotAllowed,
		"53300": password.TooManyConnections,
		"57P03": password.NotReady,
		"3D000": password.Refused,
		"XX000": password.Refused,
	}
	for state, want := range rows {
		t.Run(state, func(t *testing.T) {
			s := serve(t, refusal(state))
			pool := open(t, s.config(t), always(ringOf(t, secret, "app_r1", "app_r2*")), keep)
			for _, got := range []password.Attempt{
				pool.Use(t.Context(), unused), pool.Probe(t.Context()),
			} {
				assert.Equal(t, password.NewConnection, got.Promise)
				assert.Equal(t, want, got.Outcome)
				assert.Equal(t, "app_r2", got.User)
				refused, ok := errors.AsType[*password.ConnectError](got.Err)
				require.True(t, ok)
				assert.Equal(t, fmt.Sprintf(`connect as "app_r2": %s: FATAL: no (SQLSTATE %s)`,
					want, state), refused.Error())
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			assert.Equal(t, []string{"app_r2", "app_r2"}, s.users)
			assert.Contains(t, password.Outcomes(), want)
		})
	}
}

// TestClearPasswordsAreNotSent has servers ask for what would give the password away, or for none.
func TestClearPasswordsAreNotSent(t *testing.T) {
	rows := map[string]pgproto3.BackendMessage{
		"clear":  &pgproto3.AuthenticationCleartextPassword{},
		"md5":    &pgproto3.AuthenticationMD5Password{Salt: [4]byte{1, 2, 3, 4}},
		"nobody": &pgproto3.AuthenticationOk{},
	}
	for name, ask := range rows {
		t.Run(name, func(t *testing.T) {
			s := serve(t, ask, &pgproto3.ReadyForQuery{TxStatus: 'I'})
			pool := open(t, s.config(t), always(ringOf(t, secret, "app_r1*")), keep)
			got := pool.Probe(t.Context())
			assert.Equal(t, password.Unreachable, got.Outcome)
			s.mu.Lock()
			defer s.mu.Unlock()
			assert.NotContains(t, string(s.heard), secret)
			assert.NotContains(t, string(s.heard), "md5")
		})
	}
}

func TestUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	config := configOf(t, listener.Addr())
	require.NoError(t, listener.Close())
	pool := open(t, config, always(ringOf(t, secret, "app_r1*")), keep)
	got := pool.Use(t.Context(), unused)
	assert.Equal(t, password.Unreachable, got.Outcome)
	assert.Equal(t, password.NewConnection, got.Promise)
	_, ok := errors.AsType[*net.OpError](got.Err)
	assert.True(t, ok, "%v", got.Err)

	got = pool.Probe(canceled())
	assert.Equal(t, password.Canceled, got.Outcome)
	require.ErrorIs(t, got.Err, context.Canceled)
	pool.Close()
	for _, got = range []password.Attempt{pool.Use(t.Context(), unused), pool.Probe(t.Context())} {
		assert.Equal(t, password.Canceled, got.Outcome)
		assert.EqualError(t, got.Err, "connect: canceled: the pool is closed")
	}
}

// TestSilence has a server that accepts and says nothing: the bound of the configuration ends it.
func TestSilence(t *testing.T) {
	config := serve(t).config(t)
	config.ConnConfig.ConnectTimeout = 50 * time.Millisecond
	pool := open(t, config, always(ringOf(t, secret, "app_r1*")), keep)
	assert.Equal(t, password.Unreachable, pool.Use(t.Context(), unused).Outcome)

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	got := pool.Probe(ctx)
	assert.Equal(t, password.Canceled, got.Outcome)
	assert.ErrorIs(t, got.Err, context.DeadlineExceeded)
}

func TestNoPrimary(t *testing.T) {
	config := serve(t).config(t)
	none := func() (*keyring.Ring, error) { return nil, fs.ErrNotExist }
	for _, got := range []password.Attempt{
		open(t, config, none, keep).Use(t.Context(), unused),
		open(t, config, none, keep).Probe(t.Context()),
	} {
		assert.Equal(t, password.NoPrimary, got.Outcome)
		assert.Equal(t, password.NewConnection, got.Promise)
		assert.Empty(t, got.User)
		require.ErrorIs(t, got.Err, fs.ErrNotExist)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	config := serve(t).config(t)
	for _, set := range []password.Settings{
		{},
		{Recycle: "never"},
		{Recycle: password.MaxLifetime},
		{Recycle: password.Keep, MaxLifetime: time.Second},
		{Recycle: password.MaxLifetime, MaxLifetime: -time.Second},
	} {
		_, err := password.Open(config, always(ringOf(t, secret, "app_r1*")), set)
		require.Error(t, err, "%+v", set)
	}
	config.BeforeConnect = func(context.Context, *pgx.ConnConfig) error { return nil }
	_, err := password.Open(config, always(ringOf(t, secret, "app_r1*")), keep)
	require.Error(t, err)
	_, err = password.NewRoles(config.ConnConfig, password.RolesSettings{})
	require.Error(t, err)
	_, err = password.NewRoles(config.ConnConfig,
		password.RolesSettings{Group: "app", Sessions: "kill"})
	require.Error(t, err)
}

// TestNothingLeaks prints what has passwords in it, and the error of a refusal: the driver's own
// has the whole configuration.
func TestNothingLeaks(t *testing.T) {
	s := serve(t, refusal("28P01"))
	config := s.config(t)
	config.ConnConfig.Password = secret
	pool := open(t, config, always(ringOf(t, secret, "app_r1*")), keep)
	roles, err := password.NewRoles(config.ConnConfig, password.RolesSettings{Group: "app"})
	require.NoError(t, err)
	attempt := pool.Probe(t.Context())
	require.Error(t, attempt.Err)
	proved := roles.Prove(t.Context(), keyOf(t, "app_r1", secret))
	require.Error(t, proved)
	admitted := roles.Admit(t.Context(), keyOf(t, "app_r1", secret))
	require.Error(t, admitted)
	for _, v := range []any{pool, roles, attempt, attempt.Err, proved, admitted} {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
		_ = json.NewEncoder(&out).Encode(v)
		assert.NotContains(t, out.String(), secret, "%T", v)
	}
}
