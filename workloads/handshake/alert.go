package handshake

import (
	"errors"
	"net"
	"reflect"

	"github.com/certquake/certquake/harness/record"
)

// alert is the number of a TLS alert (RFC 8446, section 6).
type alert uint8

const (
	alertHandshakeFailure      alert = 40
	alertCertificateExpired    alert = 45
	alertUnknownCA             alert = 48
	alertDecryptError          alert = 51
	alertProtocolVersion       alert = 70
	alertInsufficientSecurity  alert = 71
	alertInappropriateFallback alert = 86
	alertUnrecognizedName      alert = 112
	alertCertificateRequired   alert = 116
	alertNoProtocol            alert = 120

	// From bad_certificate to certificate_unknown, all are complaints about a certificate.
	alertCertificateFirst alert = 42
	alertCertificateLast  alert = 46
)

// remoteOp is how crypto/tls marks an alert that came from the peer, as opposed to one it sent.
const remoteOp = "remote error"

// remoteAlert returns the alert by which the peer ended the connection.
func remoteAlert(err error) (alert, bool) {
	e, ok := errors.AsType[*net.OpError](err)
	if !ok || e.Op != remoteOp {
		return 0, false
	}
	return alertNumber(e.Err)
}

// alertNumber reads the number of crypto/tls's alert. Its type is not exported, nor is it
// tls.AlertError, so its kind must do.
func alertNumber(err error) (alert, bool) {
	value := reflect.ValueOf(err)
	if value.Kind() != reflect.Uint8 {
		return 0, false
	}
	return alert(value.Uint() & 0xff), true
}

// outcome is the best guess at the peer's cause. Ends send alerts that name a cause badly, or
// another one on purpose: the result of the end that decided is to be preferred.
func (a alert) outcome() record.Outcome {
	switch a {
	case alertUnknownCA:
		return record.UnknownAuthority
	case alertCertificateExpired:
		return record.Expired
	case alertDecryptError:
		return record.BadSignature
	case alertCertificateRequired:
		return record.CertificateRequired
	case alertUnrecognizedName:
		return record.NameMismatch
	case alertHandshakeFailure, alertProtocolVersion, alertInsufficientSecurity,
		alertInappropriateFallback, alertNoProtocol:
		return record.NoSharedParameters
	case alertCertificateFirst, alertCertificateLast:
		return record.BadCertificate
	}
	if a > alertCertificateFirst && a < alertCertificateLast {
		return record.BadCertificate
	}
	return record.Other
}
