package password

import (
	"context"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

// trail follows one demand for a connection through the driver's pool, which may serve it by a
// connection that is there, make one for it, or make one and give it to another demand.
type trail struct{ as atomic.Pointer[string] }

type trailKey struct{}

// customKey is where a connection has the trail that it was made for.
const customKey = "certquake/password"

// trailOf returns the trail of a demand, or a new one for connections that the pool makes for none.
func trailOf(ctx context.Context) *trail {
	if t, ok := ctx.Value(trailKey{}).(*trail); ok {
		return t
	}
	return &trail{}
}

// begin notes whom a connection is made as. It may run after the demand was given up.
func (t *trail) begin(user string) { t.as.Store(&user) }

// mark leaves the trail on a connection.
func (t *trail) mark(conn *pgx.Conn) {
	if t.user() == "" { // made for no demand, so begin's note was lost
		t.begin(conn.Config().User)
	}
	conn.PgConn().CustomData()[customKey] = t
}

// user returns whom a connection was begun as, or "".
func (t *trail) user() string {
	if t == nil {
		return ""
	}
	if user := t.as.Load(); user != nil {
		return *user
	}
	return ""
}
