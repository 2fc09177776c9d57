package password

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/certquake/certquake/workloads/keyring"
)

const (
	// endWait is how long the server waits for one session to end.
	endWait = 5 * time.Second
	// endRounds bounds how often sessions are looked for again: some were let in meanwhile.
	endRounds = 5
)

// Retire removes a user: from a moment on it may not log in, then its sessions have ended, then it
// is gone. It does nothing if there is no such user. It may be cut off at any point and be done
// again. The problem of a *RoleError is InUse if sessions are left, which then may log in again
// under KeepInUse; Owns if something belongs to the user itself, Foreign, Forbidden or Database.
func (r *Roles) Retire(ctx context.Context, user string) error {
	if err := checkName(user); err != nil {
		return err
	}
	return r.session(ctx, user, func(conn *pgx.Conn) error {
		oid, err := r.lockOut(ctx, conn, user)
		if err != nil || oid == 0 {
			return err
		}
		if err = r.end(ctx, conn, user, oid); err != nil {
			return err
		}
		if err = r.execute(ctx, conn, "DROP ROLE IF EXISTS "+quote(user)); err != nil {
			return err
		}
		// One that was let in at the very moment of the lock-out: it goes by the oid.
		return terminate(ctx, conn, user, oid)
	})
}

// lockOut takes the user's LOGIN away, and returns its oid, or 0 if there is no such user. Sessions
// stay. Under KeepInUse it leaves a user with sessions as it is.
func (r *Roles) lockOut(ctx context.Context, conn *pgx.Conn, user string) (uint32, error) {
	var oid uint32
	err := r.alone(ctx, conn, func(tx pgx.Tx) error {
		found, err := r.find(ctx, tx, user)
		switch {
		case isProblem(err, NoRole):
			return nil
		case err != nil:
			return err
		case !found.ours:
			return &RoleError{Problem: Foreign, Role: user, Err: errForeign}
		}
		oid = found.oid
		if !found.login {
			return nil
		}
		if r.set.Sessions == KeepInUse {
			if err = unused(ctx, tx, user, oid); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, "ALTER ROLE "+quote(user)+" NOLOGIN")
		return err
	})
	return oid, err
}

// end sees to it that the user has no sessions. Under KeepInUse that may fail because of one that
// was let in during the lock-out: the user is as it was then.
func (r *Roles) end(ctx context.Context, conn *pgx.Conn, user string, oid uint32) error {
	if r.set.Sessions == EndSessions {
		return terminate(ctx, conn, user, oid)
	}
	inUse := unused(ctx, conn, user, oid)
	if inUse == nil {
		return nil
	}
	return errors.Join(inUse, r.execute(ctx, conn, "ALTER ROLE "+quote(user)+" LOGIN"))
}

// execute runs one statement, alone among the steps on the group.
func (r *Roles) execute(ctx context.Context, conn *pgx.Conn, statement string) error {
	return r.alone(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, statement)
		return err
	})
}

// querier is a connection, or a transaction on one.
type querier interface {
	QueryRow(ctx context.Context, sql string, arguments ...any) pgx.Row
}

// unused returns an error of InUse if the user has sessions.
func unused(ctx context.Context, on querier, user string, oid uint32) error {
	var left bool
	err := on.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usesysid = $1)",
		oid).Scan(&left)
	if err == nil && left {
		return &RoleError{Problem: InUse, Role: user, Err: errSessions}
	}
	return err
}

// terminate ends the sessions of a user until none is found.
func terminate(ctx context.Context, conn *pgx.Conn, user string, oid uint32) error {
	for range endRounds {
		var found int
		err := conn.QueryRow(ctx, `SELECT count(pg_terminate_backend(pid, $2))
			FROM pg_stat_activity WHERE usesysid = $1`, oid, endWait.Milliseconds()).Scan(&found)
		if err != nil || found == 0 {
			return err
		}
	}
	return &RoleError{Problem: InUse, Role: user, Err: errSessions}
}

// Users returns the users of the group that rotations made, sorted by their names.
func (r *Roles) Users(ctx context.Context) ([]string, error) {
	var users []string
	err := r.session(ctx, r.set.Group, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT rolname::text FROM pg_roles
			WHERE shobj_description(oid, 'pg_authid') = $1`, r.mark())
		if err != nil {
			return err
		}
		users, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	slices.Sort(users)
	return users, err
}

// Reconcile makes the server what a Secret says: every key of its ring is a user that can log in,
// and every other user of the group that a rotation made is retired. A driver does it when it
// starts, and while no other one runs. Where nothing is amiss, nothing is written.
func (r *Roles) Reconcile(ctx context.Context, ring *keyring.Ring) error {
	for _, id := range ring.IDs() {
		key, _ := ring.Key(id)
		if err := r.ensure(ctx, key); err != nil {
			return err
		}
	}
	users, err := r.Users(ctx)
	if err != nil {
		return err
	}
	for _, user := range users {
		if _, ok := ring.Key(user); ok {
			continue
		}
		if err := r.Retire(ctx, user); err != nil {
			return err
		}
	}
	return nil
}

// ensure admits the user of a key unless it can log in.
func (r *Roles) ensure(ctx context.Context, key keyring.Key) error {
	err := r.Prove(ctx, key)
	if !isProblem(err, CannotLogin) && !isProblem(err, WrongGroup) {
		return err
	}
	if err := r.Admit(ctx, key); err != nil {
		return err
	}
	return r.Prove(ctx, key)
}
