package handshake

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/credential"
)

// stage is how far an attempt came at this end. It tells causes apart that crypto/tls reports in
// the same untyped way.
type stage int

const (
	negotiating stage = iota // versions, cipher suites and curves are being agreed
	verified                 // the peer's certificate was accepted; its signature is awaited
	proven                   // the peer's signature was accepted too
)

// The refusals that crypto/tls has no type for.
var (
	errNoCertificate = errors.New("the client presented no certificate")
	errNoScheme      = errors.New("no signature scheme in common for the own certificate")
)

// SubjectError is the refusal of the SharedSubject rule.
type SubjectError struct {
	Own, Peer []string // the names of both leaves
}

// Error lists the names of both ends.
func (e *SubjectError) Error() string {
	return fmt.Sprintf("own names %q and peer's names %q share none", e.Own, e.Peer)
}

// attempt is one end of one connection while it is being made. crypto/tls calls its methods from
// the goroutine that runs the handshake.
type attempt struct {
	context    *Context
	side       record.Side
	serverName string // as dialed; empty at the server
	now        func() time.Time

	stage   stage
	resumed bool
	peer    *x509.Certificate
}

// verifyServer is the client's judgement of the server, on full handshakes and resumed ones.
func (a *attempt) verifyServer(state tls.ConnectionState) error {
	chain := state.PeerCertificates
	a.peer = chain[0] // crypto/tls refuses a server without a certificate before
	if err := a.context.verify(chain, a.now()); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
	}
	if a.context.settings.VerifyHostname {
		if err := a.peer.VerifyHostname(a.serverName); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
		}
	}
	return a.accept(state)
}

// verifyClient is what the server still has to judge after crypto/tls verified a chain, if any.
func (a *attempt) verifyClient(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errNoCertificate
	}
	a.peer = state.PeerCertificates[0]
	return a.accept(state)
}

// accept applies the peer rule and notes that the peer's certificate passed. A resumed session
// needs no further signature.
func (a *attempt) accept(state tls.ConnectionState) error {
	if a.context.settings.PeerRule == SharedSubject {
		if err := a.shareSubject(); err != nil {
			return err
		}
	}
	a.stage, a.resumed = verified, state.DidResume
	if state.DidResume {
		a.stage = proven
	}
	return nil
}

// shareSubject is credential.SharedSubject with the own names read once per context.
func (a *attempt) shareSubject() error {
	own, peer := a.context.names, credential.Names(a.peer)
	if slices.ContainsFunc(peer, func(name string) bool { return slices.Contains(own, name) }) {
		return nil
	}
	return &SubjectError{Own: own, Peer: peer}
}

// clientCertificate always presents the own certificate: chosen by crypto/tls, it would be left out
// in silence when the server's list of CAs does not name its issuer. That it is asked for means the
// server's signature was accepted.
func (a *attempt) clientCertificate(req *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	a.stage = proven
	anyCA := *req
	anyCA.AcceptableCAs = nil
	if err := anyCA.SupportsCertificate(&a.context.cert); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoScheme, err)
	}
	return &a.context.cert, nil
}
