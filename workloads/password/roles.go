package password

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"

	"github.com/certquake/certquake/workloads/keyring"
)

// markPrefix begins the comment on each role that was made here; the group follows. No other role
// is ever changed, whatever id a Secret has.
const markPrefix = "certquake: password rotation of "

// Sessions is what Retire does about the sessions of a user.
type Sessions string

// What Retire may do.
const (
	EndSessions Sessions = "end"    // they are ended
	KeepInUse   Sessions = "refuse" // while there are any, the user stays as it is
)

// RolesSettings are those of Roles. The zero value lacks a Group.
type RolesSettings struct {
	// Group is the role whose members the users are, and that owns what they create.
	Group string
	// Sessions is EndSessions if empty.
	Sessions Sessions
	// Random is where salts are read from. Nil means crypto/rand.
	Random io.Reader
}

// Roles carries the rotation of a Secret's passwords out on a server. Create it with NewRoles. It
// is safe for concurrent use, also by several processes: the steps on one group go one at a time.
type Roles struct {
	admin *pgx.ConnConfig
	set   RolesSettings
}

// NewRoles returns the roles of a group on a server. The configuration, of pgx.ParseConfig, says
// who carries the rotation out: a role with CREATEROLE and pg_signal_backend, no superuser. Each
// step makes a connection of its own. The same server and database are where users are proved.
func NewRoles(admin *pgx.ConnConfig, s RolesSettings) (*Roles, error) {
	if err := checkName(s.Group); err != nil {
		return nil, err
	}
	switch s.Sessions {
	case "":
		s.Sessions = EndSessions
	case EndSessions, KeepInUse:
	default:
		return nil, fmt.Errorf("sessions %q: want %s or %s", s.Sessions, EndSessions, KeepInUse)
	}
	if s.Random == nil {
		s.Random = rand.Reader
	}
	admin = admin.Copy()
	if admin.ConnectTimeout <= 0 {
		admin.ConnectTimeout = connectTimeout
	}
	return &Roles{admin: admin, set: s}, nil
}

// Setup makes the group, unless there is one: that one stays as it is, so the one user of an
// application may become its group.
func (r *Roles) Setup(ctx context.Context) error {
	return r.transact(ctx, r.set.Group, func(tx pgx.Tx) error {
		_, err := r.find(ctx, tx, r.set.Group)
		if !isProblem(err, NoRole) {
			return err
		}
		_, err = tx.Exec(ctx, "CREATE ROLE "+quote(r.set.Group)+" NOLOGIN")
		return err
	})
}

// Admit has the user of a key exist, be allowed to log in with the key's password, and act as the
// group. It makes the user or makes it so again, in one transaction. The problem of a *RoleError is
// Foreign if there is such a role that no rotation of this group made, NoRole without a group,
// BadName, BadPassword, Forbidden or Database.
func (r *Roles) Admit(ctx context.Context, key keyring.Key) error {
	if err := Check(key); err != nil {
		return err
	}
	verifier, err := Verifier(key.Bytes(Part), r.set.Random)
	if err != nil {
		return &RoleError{Problem: Database, Role: key.ID, Err: err}
	}
	return r.transact(ctx, key.ID, func(tx pgx.Tx) error {
		_, err := r.find(ctx, tx, r.set.Group)
		if isProblem(err, NoRole) {
			return &RoleError{Problem: NoRole, Role: r.set.Group, Err: errNoGroup}
		}
		if err != nil {
			return err
		}
		statements, err := r.admission(ctx, tx, key.ID, verifier)
		for _, statement := range statements {
			if _, err = tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return err
	})
}

// admission returns the statements that admit a user, who may be there already.
func (r *Roles) admission(
	ctx context.Context, tx pgx.Tx, name, verifier string,
) ([]string, error) {
	user, group := quote(name), quote(r.set.Group)
	login := user + " LOGIN PASSWORD '" + verifier + "'" // which has neither quote nor backslash
	comment, err := tx.Conn().PgConn().EscapeString(r.mark())
	if err != nil {
		return nil, err
	}
	var statements []string
	role, err := r.find(ctx, tx, name)
	switch {
	case isProblem(err, NoRole):
		statements = []string{
			"CREATE ROLE " + login, "COMMENT ON ROLE " + user + " IS '" + comment + "'",
		}
	case err != nil:
		return nil, err
	case !role.ours:
		return nil, &RoleError{Problem: Foreign, Role: name, Err: errForeign}
	default:
		statements = []string{"ALTER ROLE " + login + " VALID UNTIL 'infinity'"}
	}
	if !role.member {
		statements = append(statements, "GRANT "+group+" TO "+user)
	}
	return append(statements, "ALTER ROLE "+user+" SET role TO "+group), nil
}

// Prove logs in as the user of a key, and sees that it acts as the group. The problem of a
// *RoleError is CannotLogin, with a *ConnectError as its cause, or WrongGroup.
func (r *Roles) Prove(ctx context.Context, key keyring.Key) error {
	if err := Check(key); err != nil {
		return err
	}
	config := r.admin.Copy()
	config.RequireAuth = "scram-sha-256"
	config.User, config.Password = key.ID, string(key.Bytes(Part))
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return &RoleError{
			Problem: CannotLogin, Role: key.ID, Err: notConnected(ctx, key.ID, err),
		}
	}
	defer func() { _ = conn.Close(ctx) }()
	var acts bool
	err = conn.QueryRow(ctx, "SELECT session_user = $1 AND current_user = $2",
		key.ID, r.set.Group).Scan(&acts)
	if err == nil && !acts {
		err = &RoleError{Problem: WrongGroup, Role: key.ID, Err: errActsAs}
	}
	return onRole(key.ID, err)
}

// Replace gives a user the password of a key in place of the one it has. It is the practice to
// avoid: whoever has not read the new password can connect no more. The user may be any role.
func (r *Roles) Replace(ctx context.Context, user string, key keyring.Key) error {
	if err := errors.Join(checkName(user), checkPassword(key.Bytes(Part))); err != nil {
		return err
	}
	verifier, err := Verifier(key.Bytes(Part), r.set.Random)
	if err != nil {
		return &RoleError{Problem: Database, Role: user, Err: err}
	}
	return r.transact(ctx, user, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "ALTER ROLE "+quote(user)+" PASSWORD '"+verifier+"'")
		return err
	})
}

// role is what the server has of a role.
type role struct {
	oid    uint32
	login  bool
	ours   bool // made by a rotation of this group
	member bool // of the group, directly
}

// find looks a role up. The problem of a *RoleError is NoRole if there is none.
func (r *Roles) find(ctx context.Context, tx pgx.Tx, name string) (role, error) {
	var found role
	err := tx.QueryRow(ctx, `SELECT r.oid, r.rolcanlogin,
			coalesce(shobj_description(r.oid, 'pg_authid') = $2, false),
			EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
				WHERE m.member = r.oid AND g.rolname = $3)
		FROM pg_roles r WHERE r.rolname = $1`, name, r.mark(), r.set.Group,
	).Scan(&found.oid, &found.login, &found.ours, &found.member)
	if errors.Is(err, pgx.ErrNoRows) {
		return role{}, &RoleError{Problem: NoRole, Role: name, Err: errGone}
	}
	return found, onRole(name, err)
}

// transact runs a step in one transaction, alone among those on the group.
func (r *Roles) transact(ctx context.Context, about string, do func(pgx.Tx) error) error {
	return r.session(ctx, about, func(conn *pgx.Conn) error {
		return r.alone(ctx, conn, do)
	})
}

// session runs a step on a connection of its own.
func (r *Roles) session(ctx context.Context, about string, do func(*pgx.Conn) error) error {
	conn, err := pgx.ConnectConfig(ctx, r.admin.Copy())
	if err != nil {
		return &RoleError{
			Problem: Database, Role: about, Err: notConnected(ctx, r.admin.User, err),
		}
	}
	defer func() { _ = conn.Close(ctx) }()
	return onRole(about, do(conn))
}

// alone runs do in a transaction that holds the group's lock.
func (r *Roles) alone(ctx context.Context, conn *pgx.Conn, do func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
			r.mark())
		if err != nil {
			return err
		}
		return do(tx)
	})
}

// String returns the server and the group.
func (r *Roles) String() string {
	return fmt.Sprintf("%s:%d/%s of %s",
		r.admin.Host, r.admin.Port, r.admin.Database, r.set.Group)
}

// GoString is String, so that no print of Roles shows the password of who carries them out.
func (r *Roles) GoString() string { return r.String() }

// mark is the comment on the users of the group, and the name of its lock.
func (r *Roles) mark() string { return markPrefix + r.set.Group }

// quote makes a name an identifier.
func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

func isProblem(err error, p Problem) bool {
	e, ok := errors.AsType[*RoleError](err)
	return ok && e.Problem == p
}
