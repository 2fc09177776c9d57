package handshake

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/certquake/certquake/harness/record"
)

// judge turns an error into this end's result.
func (a *attempt) judge(ctx context.Context, err error) Result {
	result := Result{Resumed: a.resumed, Peer: a.peer, Err: err}
	if alert, ok := remoteAlert(err); ok {
		result.Outcome = alert.outcome()
		return result
	}
	if outcome, ok := interruption(ctx, err); ok {
		result.Outcome = outcome
		return result
	}
	result.Outcome, result.Decided = a.cause(err)
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		result.Peer = e.UnverifiedCertificates[0]
	}
	return result
}

// interruption reports whether an attempt ended because its time was up or the run was.
func interruption(ctx context.Context, err error) (record.Outcome, bool) {
	switch {
	case errors.Is(err, context.Canceled):
		return record.Canceled, true
	case errors.Is(err, context.DeadlineExceeded):
		return record.Timeout, true
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return "", false
	case errors.Is(ctx.Err(), context.Canceled):
		return record.Canceled, true
	}
	return record.Timeout, true
}

// cause tells why this end gave up, and whether it was this end's own decision.
func (a *attempt) cause(err error) (record.Outcome, bool) {
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return a.refusal(e), true
	}
	if _, ok := errors.AsType[*SubjectError](err); ok {
		return record.NameMismatch, true
	}
	switch {
	case errors.Is(err, errNoCertificate):
		return record.CertificateRequired, true
	case errors.Is(err, errNoScheme):
		return record.NoSharedParameters, true
	case broken(err):
		return record.Other, false
	}
	return a.untyped(err), true
}

// untyped tells the cause of an error that crypto/tls gave no type, by the stage it came at. Before
// the peer's certificate was judged, parameters are what ends disagree on; after that, only the
// signature by the peer's key is left to fail.
func (a *attempt) untyped(err error) record.Outcome {
	if garbled(err) {
		return record.Other
	}
	switch a.stage {
	case negotiating:
		return record.NoSharedParameters
	case verified:
		return record.BadSignature
	case proven:
		return record.Other
	}
	return record.Other
}

// garbled reports whether the peer did not speak TLS: its records made no sense.
func garbled(err error) bool {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	// What crypto/tls itself alerted of in a *net.OpError is a broken record or message.
	_, ok := errors.AsType[*net.OpError](err)
	return ok
}

// broken reports whether the connection went away under the attempt.
func broken(err error) bool {
	if e, ok := errors.AsType[*net.OpError](err); ok {
		_, alert := alertNumber(e.Err)
		return !alert
	}
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed)
}

// refusal tells why a chain was not accepted.
func (a *attempt) refusal(e *tls.CertificateVerificationError) record.Outcome {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](e.Err); ok {
		return invalidity(invalid, a.now())
	}
	if _, ok := errors.AsType[x509.HostnameError](e.Err); ok {
		return record.NameMismatch
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](e.Err); ok {
		return record.UnknownAuthority
	}
	return record.BadCertificate
}

// invalidity tells why a certificate is invalid in itself. It may be the leaf or the CA that signed
// it: unlike Java, Go minds the dates of a trusted CA.
func invalidity(e x509.CertificateInvalidError, now time.Time) record.Outcome {
	if e.Reason == x509.Expired {
		return untimely(e.Cert, now)
	}
	if e.Reason == x509.IncompatibleUsage {
		return record.WrongUsage
	}
	return record.BadCertificate
}

// untimely tells which end of its validity a certificate is beyond. It asks for the later end, so
// that a clock that went on since the verification cannot turn the answer round.
func untimely(cert *x509.Certificate, now time.Time) record.Outcome {
	if now.After(cert.NotAfter) {
		return record.Expired
	}
	return record.NotYetValid
}
