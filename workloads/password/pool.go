package password

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/certquake/certquake/workloads/keyring"
)

// Recycle is what becomes of the connections of a pool when another key is primary.
type Recycle string

// The policies.
const (
	// Keep leaves them open for as long as the process lives. It goes well until the old user's
	// sessions are ended.
	Keep Recycle = "keep"
	// RecycleOnRotation closes them at the first Use or Refresh that finds another primary: idle
	// ones at once, others when they are given back.
	RecycleOnRotation Recycle = "recycle-on-rotation"
	// MaxLifetime closes each one when it is Settings.MaxLifetime old, whatever the ring is.
	MaxLifetime Recycle = "max-lifetime"
)

// Promise is what a use of a pool relied on. A change of passwords breaks the first and leaves the
// second alone; the end of sessions breaks the second and leaves the first alone.
type Promise string

// The promises.
const (
	// NewConnection: whoever has the primary key can connect.
	NewConnection Promise = "new-connection"
	// Established: a connection that was made goes on working.
	Established Promise = "established-connection"
)

// connectTimeout bounds a connect for which the configuration has no bound.
const connectTimeout = 10 * time.Second

// Settings are those of a Pool. The zero value lacks a Recycle.
type Settings struct {
	Recycle Recycle `json:"recycle"`
	// MaxLifetime is for the policy of that name, and must be 0 for others.
	MaxLifetime time.Duration `json:"max_lifetime_ns,omitempty"`
	// User is the one to connect as whatever key is primary. It is for the practice that Replace
	// carries on; empty means the id of the primary key.
	User string `json:"user,omitempty"`
}

// Pool is a client's pool of connections. Create it with Open. It is safe for concurrent use.
type Pool struct {
	pool    *pgxpool.Pool
	connect *pgx.ConnConfig
	ring    func() (*keyring.Ring, error)
	set     Settings
	primary atomic.Pointer[string] // the id that was primary when last looked at
	closed  atomic.Bool
}

// Attempt is how one use of a pool went.
type Attempt struct {
	// Promise is what the use relied on; "" if it was canceled while it waited for others to give
	// a connection back, which says nothing about either.
	Promise Promise
	Outcome Outcome
	// User is whom the connection is or would have been of; "" when it did not come to that.
	User string
	// Err is a *ConnectError when there was no connection, and what the caller's function returned
	// when there was one. It is nil for OK.
	Err error
}

// Open returns a pool to the servers of a configuration, which is that of pgxpool.ParseConfig. Its
// user and password are not used: they are those of the primary key, at each connect, of a source
// of rings, such as the Ring method of a keyring.Keyring that reads Part. Nothing is connected
// before it is asked for, unless the configuration says so. Close the pool after use. The error is
// about the settings.
func Open(
	config *pgxpool.Config, ring func() (*keyring.Ring, error), s Settings,
) (*Pool, error) {
	config = config.Copy()
	switch {
	case config.BeforeConnect != nil:
		return nil, errBefore
	case s.Recycle == MaxLifetime && s.MaxLifetime > 0:
		config.MaxConnLifetime = s.MaxLifetime
		config.HealthCheckPeriod = min(config.HealthCheckPeriod, s.MaxLifetime)
	case s.Recycle == MaxLifetime || s.MaxLifetime != 0:
		return nil, fmt.Errorf("max lifetime %v: want one above 0 for %s, and none for others",
			s.MaxLifetime, MaxLifetime)
	case s.Recycle == Keep:
		config.MaxConnLifetime = 0
	case s.Recycle != RecycleOnRotation:
		return nil, fmt.Errorf("recycle %q: want %s, %s or %s",
			s.Recycle, Keep, RecycleOnRotation, MaxLifetime)
	}
	config.ConnConfig.RequireAuth = "scram-sha-256"
	config.ConnConfig.User, config.ConnConfig.Password = "", ""
	if config.ConnConfig.ConnectTimeout <= 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	p := &Pool{connect: config.ConnConfig, ring: ring, set: s}
	config.BeforeConnect = p.dress
	after := config.AfterConnect
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		trailOf(ctx).mark(conn)
		if after != nil {
			return after(ctx, conn)
		}
		return nil
	}
	var err error
	p.pool, err = pgxpool.NewWithConfig(context.Background(), config)
	return p, err
}

// Close closes all connections. It waits until those in use are given back.
func (p *Pool) Close() {
	p.closed.Store(true)
	p.pool.Close()
}

// Use lends a connection to do, and tells how it went. It waits until one is free or may be made.
func (p *Pool) Use(ctx context.Context, do func(context.Context, *pgx.Conn) error) Attempt {
	if err := p.Refresh(); err != nil {
		return failed(NewConnection, err)
	}
	demand := &trail{}
	conn, err := p.pool.Acquire(context.WithValue(ctx, trailKey{}, demand))
	if err != nil {
		return p.notAcquired(ctx, demand, err)
	}
	defer conn.Release()
	a := Attempt{Promise: Established, Outcome: OK}
	made, _ := conn.Conn().PgConn().CustomData()[customKey].(*trail)
	a.User = made.user()
	if made == demand {
		a.Promise = NewConnection
	}
	if a.Err = do(ctx, conn.Conn()); a.Err != nil {
		a.Outcome = interrupted(ctx, a.Err, conn.Conn().IsClosed())
	}
	return a
}

// Probe makes a connection beside the pool's, as the pool would, and closes it. It keeps watch on
// the promise that a pool full of connections says nothing about.
func (p *Pool) Probe(ctx context.Context) Attempt {
	if p.closed.Load() {
		return failed(NewConnection, &ConnectError{Outcome: Canceled, Err: errClosed})
	}
	demand := &trail{}
	config := p.connect.Copy()
	err := p.dress(context.WithValue(ctx, trailKey{}, demand), config)
	if err != nil {
		return failed(NewConnection, err)
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return failed(NewConnection, notConnected(ctx, demand.user(), err))
	}
	_ = conn.Close(ctx) // whether the farewell arrives says nothing about the connect
	return Attempt{Promise: NewConnection, Outcome: OK, User: demand.user()}
}

// Refresh asks for the ring, and heeds RecycleOnRotation. Each Use does; a process that may be idle
// for long calls it now and then, so that its idle connections do not outlive the rotation. The
// error is a *ConnectError of NoPrimary, or Canceled after Close.
func (p *Pool) Refresh() error {
	if p.closed.Load() {
		return &ConnectError{Outcome: Canceled, Err: errClosed}
	}
	key, err := p.key()
	if err != nil {
		return err
	}
	last := p.primary.Swap(&key.ID)
	if p.set.Recycle == RecycleOnRotation && last != nil && *last != key.ID {
		p.pool.Reset()
	}
	return nil
}

// key returns the primary key, if it is one to connect by.
func (p *Pool) key() (keyring.Key, error) {
	ring, err := p.ring()
	if err != nil {
		return keyring.Key{}, &ConnectError{Outcome: NoPrimary, Err: err}
	}
	key := ring.Primary()
	if err := Check(key); err != nil {
		return keyring.Key{}, &ConnectError{Outcome: NoPrimary, User: key.ID, Err: err}
	}
	return key, nil
}

// dress gives a connection to be made its user and password.
func (p *Pool) dress(ctx context.Context, config *pgx.ConnConfig) error {
	key, err := p.key()
	if err != nil {
		return err
	}
	config.User, config.Password = key.ID, string(key.Bytes(Part))
	if p.set.User != "" {
		config.User = p.set.User
	}
	trailOf(ctx).begin(config.User)
	return nil
}

// notAcquired tells why there is no connection. One that was not even begun is no new one.
func (p *Pool) notAcquired(ctx context.Context, demand *trail, err error) Attempt {
	if p.closed.Load() {
		err = &ConnectError{Outcome: Canceled, Err: errClosed}
	}
	refusal := notConnected(ctx, demand.user(), err)
	if demand.user() == "" && refusal.Outcome == Canceled {
		return failed("", refusal)
	}
	return failed(NewConnection, refusal)
}

// failed makes an Attempt of an error, which is a *ConnectError.
func failed(promise Promise, err error) Attempt {
	a := Attempt{Promise: promise, Err: err}
	if refusal, ok := errors.AsType[*ConnectError](err); ok {
		a.Outcome, a.User = refusal.Outcome, refusal.User
	}
	return a
}

// String returns where the pool connects to, and its policy.
func (p *Pool) String() string {
	return fmt.Sprintf("%s:%d/%s %s",
		p.connect.Host, p.connect.Port, p.connect.Database, p.set.Recycle)
}

// GoString is String, so that no print of a Pool shows what its ring or its driver hold.
func (p *Pool) GoString() string { return p.String() }
