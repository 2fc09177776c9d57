package password

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

// Outcome is how one use of a database went. The set is closed, so it may label metrics.
type Outcome string

// The outcomes. All but the first are failures.
const (
	OK Outcome = "ok"
	// WrongPassword is SQLSTATE 28P01. With SCRAM a server says the same when there is no such
	// user, so that nobody can find out who is there: the two cannot be told apart.
	WrongPassword Outcome = "wrong-password"
	// NotAllowed is SQLSTATE 28000: the password is right but the user may not log in (NOLOGIN),
	// or no line of pg_hba.conf lets it in.
	NotAllowed Outcome = "not-allowed"
	// TooManyConnections is SQLSTATE 53300, of the server, the database or the user.
	TooManyConnections Outcome = "too-many-connections"
	// NotReady is SQLSTATE 57P03: the server is starting, recovering or shutting down.
	NotReady Outcome = "not-ready"
	// Refused is any other answer that a server gives to those who connect.
	Refused Outcome = "refused"
	// Unreachable means that no server answered in time that is trusted and asks for SCRAM.
	Unreachable Outcome = "unreachable"
	// SessionEnded means that the connection broke while it was used, or just before: the server
	// ended the session (class 57P), or the network did.
	SessionEnded Outcome = "session-ended"
	// QueryFailed means that the connection held, and what was asked over it went wrong.
	QueryFailed Outcome = "query-failed"
	// NoPrimary means that there is no user to connect as: no ring, or a key that Check refuses.
	NoPrimary Outcome = "no-primary"
	// Canceled means that the caller's context or the pool ended first.
	Canceled Outcome = "canceled"
)

// Outcomes returns every outcome.
func Outcomes() []Outcome {
	return []Outcome{
		OK, WrongPassword, NotAllowed, TooManyConnections, NotReady, Refused, Unreachable,
		SessionEnded, QueryFailed, NoPrimary, Canceled,
	}
}

// ConnectError is why there was no connection. It never holds a password: what the driver says is
// reduced to its cause, because its errors hold the whole configuration.
type ConnectError struct {
	Outcome Outcome
	User    string // "" when there is none to connect as, or none was tried
	Err     error  // the cause
}

// Error names the user, the outcome and the cause.
func (e *ConnectError) Error() string {
	if e.User == "" {
		return fmt.Sprintf("connect: %s: %v", e.Outcome, e.Err)
	}
	return fmt.Sprintf("connect as %q: %s: %v", e.User, e.Outcome, e.Err)
}

// Unwrap returns the cause.
func (e *ConnectError) Unwrap() error { return e.Err }

// The SQLSTATEs that are told apart.
const (
	stateInvalidPassword = "28P01"
	stateNotAuthorized   = "28000"
	stateTooMany         = "53300"
	stateNotReady        = "57P03"
	stateAdminShutdown   = "57P01"
	stateCrashShutdown   = "57P02"
	stateDatabaseDropped = "57P04"
	stateIdleTimeout     = "57P05"
	stateStillOwns       = "2BP01"
	stateNoPrivilege     = "42501"
	stateNoObject        = "42704"
)

// notConnected makes a *ConnectError of what the driver says.
func notConnected(ctx context.Context, user string, err error) *ConnectError {
	if own, ok := errors.AsType[*ConnectError](err); ok {
		return own
	}
	e := &ConnectError{User: user}
	if refusal, ok := errors.AsType[*pgconn.PgError](err); ok {
		e.Outcome, e.Err = refused(refusal.Code), refusal
		return e
	}
	if ended := ctx.Err(); ended != nil {
		e.Outcome, e.Err = Canceled, ended
		return e
	}
	e.Outcome, e.Err = Unreachable, errNoServer
	if network, ok := errors.AsType[*net.OpError](err); ok {
		e.Err = network
	}
	if distrust, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		e.Err = distrust
	}
	return e
}

// refused returns what a SQLSTATE means to one who connects.
func refused(state string) Outcome {
	switch state {
	case stateInvalidPassword:
		return WrongPassword
	case stateNotAuthorized:
		return NotAllowed
	case stateTooMany:
		return TooManyConnections
	case stateNotReady:
		return NotReady
	case stateAdminShutdown, stateCrashShutdown:
		return SessionEnded // while it was being made
	}
	return Refused
}

// interrupted returns the outcome of a use that failed on a connection.
func interrupted(ctx context.Context, err error, closed bool) Outcome {
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch answer.Code {
		case stateAdminShutdown, stateCrashShutdown, stateNotReady, stateDatabaseDropped,
			stateIdleTimeout:
			return SessionEnded
		}
	}
	switch {
	case ctx.Err() != nil:
		return Canceled
	case closed:
		return SessionEnded
	}
	return QueryFailed
}

// Problem is why a step of a rotation could not be done on the server. The set is closed.
type Problem string

// The problems of a step.
const (
	BadName     Problem = "bad-name"     // not a name for a user
	BadPassword Problem = "bad-password" // not a password that Check accepts
	NoKey       Problem = "no-key"       // the Secret lacks the key of the decision, or is no ring
	Foreign     Problem = "foreign"      // no rotation of this group made it: it stays as it is
	NoRole      Problem = "no-role"      // the role or the group is missing
	InUse       Problem = "in-use"       // sessions of the user are left
	Owns        Problem = "owns"         // something belongs to the user and not to the group
	WrongGroup  Problem = "wrong-group"  // the user does not act as the group
	CannotLogin Problem = "cannot-login" // the user was made, but is not let in
	Forbidden   Problem = "forbidden"    // whoever carries the rotation out may not
	Database    Problem = "database"     // anything else that the server or the network says
)

// RoleError is why a step could not be done. It holds no password and no verifier.
type RoleError struct {
	Problem Problem
	Role    string // "" when it is about none
	Err     error  // the cause
}

// Error names the role, the problem and the cause.
func (e *RoleError) Error() string {
	if e.Role == "" {
		return fmt.Sprintf("%s: %v", e.Problem, e.Err)
	}
	return fmt.Sprintf("role %q: %s: %v", e.Role, e.Problem, e.Err)
}

// Unwrap returns the cause.
func (e *RoleError) Unwrap() error { return e.Err }

// onRole makes a *RoleError of what the server says. A *RoleError stays as it is.
func onRole(role string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*RoleError](err); ok {
		return err
	}
	e := &RoleError{Problem: Database, Role: role, Err: err}
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok {
		e.Err = answer
		switch answer.Code {
		case stateNoPrivilege:
			e.Problem, e.Err = Forbidden, fmt.Errorf("%w: %w", answer, errPrivilege)
		case stateNoObject:
			e.Problem = NoRole
		case stateStillOwns:
			e.Problem, e.Err = Owns, fmt.Errorf("%w: %w", answer, errOwns)
		}
	}
	return e
}

// The causes that are this package's own.
var (
	errNoServer = errors.New("no server that is trusted and asks for SCRAM-SHA-256 answered in " +
		"time: look at the address, the server and its password_encryption")
	errNoPart   = errors.New("the ring was read without the part password")
	errBefore   = errors.New("want no BeforeConnect: it is where the pool gets its user from")
	errClosed   = errors.New("the pool is closed")
	errName     = errors.New("want 1 to 63 bytes, as longer names are cut off, not pg_ in front")
	errEmpty    = errors.New("want 1 to 1024 characters")
	errASCII    = errors.New("want printable ASCII: on the rest, a line's end too, clients differ")
	errForeign  = errors.New("no rotation of this group made it: give the key another id")
	errNoGroup  = errors.New("there is no such group: run Setup")
	errSessions = errors.New("sessions of it are left: end them, or have Retire end them")
	errOwns     = errors.New("hand them over in that database: REASSIGN OWNED")
	errActsAs   = errors.New("it does not act as the group: something changed its role setting")
	errNotInKey = errors.New("the secret has no password of this id")
	errGone     = errors.New("there is no such user: read the secret and decide again")

	errPrivilege = errors.New("the rotation needs CREATEROLE, pg_signal_backend, and the admin " +
		"option on the group if another made that")
)
