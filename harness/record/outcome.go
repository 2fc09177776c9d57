package record

// Outcome is how one attempt ended, from the point of view of the end that decided it. The set is
// closed: it labels metrics, report rows and expectations, so it never carries an error's text.
type Outcome string

// The outcomes of attempts. Everything but OK and Skipped is a failure.
const (
	// OK is an attempt confirmed by an application byte read back from the peer.
	OK Outcome = "ok"
	// Skipped is an attempt that was due but could not be started, because its source was down.
	Skipped Outcome = "skipped"

	// UnknownAuthority: the verifying end holds no trusted CA for the leaf it was shown.
	UnknownAuthority Outcome = "unknown-authority"
	// Expired: the verifying end's clock is after the certificate's notAfter.
	Expired Outcome = "expired"
	// NotYetValid: the verifying end's clock is before the certificate's notBefore.
	NotYetValid Outcome = "not-yet-valid"
	// NameMismatch: the peer's names failed hostname verification or the shared-subject rule.
	NameMismatch Outcome = "name-mismatch"
	// WrongUsage: the leaf lacks the extended key usage its role needs.
	WrongUsage Outcome = "wrong-usage"
	// CertificateRequired: the client presented no certificate.
	CertificateRequired Outcome = "certificate-required"
	// BadSignature: the peer could not prove possession of its leaf's key (a torn pair), or a token
	// or record was not made with the key that the other end has for its key id.
	BadSignature Outcome = "bad-signature"
	// NoCredential: one end could not build a TLS context from its files.
	NoCredential Outcome = "no-credential"
	// NoSharedParameters: no protocol version, cipher suite, curve or signature scheme in common.
	NoSharedParameters Outcome = "no-shared-parameters"
	// BadCertificate: the chain is unacceptable for a reason none of the above names.
	BadCertificate Outcome = "bad-certificate"

	// NoPrimary: the issuer of tokens has no key to sign with, or the writer of a record none to
	// seal it with that its store still takes.
	NoPrimary Outcome = "no-primary"
	// NoKeys: the verifier of a token, or the reader of a record, has no keys at all, or none that
	// it may still use.
	NoKeys Outcome = "no-keys"
	// UnknownKid: the verifier or reader has no key of the token's or record's key id.
	UnknownKid Outcome = "unknown-kid"
	// TokenExpired: the verifier's clock is at or after the token's exp, leeway included.
	TokenExpired Outcome = "token-expired"
	// TokenNotYetValid: the verifier's clock is before the token's nbf or iat, leeway included.
	TokenNotYetValid Outcome = "token-not-yet-valid"
	// TokenRefused: the token is unacceptable for a reason none of the others names, such as its
	// algorithm, issuer or audience.
	TokenRefused Outcome = "token-refused"

	// Unreachable: no process listened at the peer's address.
	Unreachable Outcome = "unreachable"
	// Timeout: the attempt ended at its deadline.
	Timeout Outcome = "timeout"
	// Canceled: the run ended while the attempt was under way.
	Canceled Outcome = "canceled"
	// Other: a failure with no credential cause that fits nothing above, such as a reset.
	Other Outcome = "other"
)

// Outcomes returns every outcome, successes first, in the order reports list them.
func Outcomes() []Outcome {
	return []Outcome{
		OK, Skipped,
		UnknownAuthority, Expired, NotYetValid, NameMismatch, WrongUsage, CertificateRequired,
		BadSignature, NoCredential, NoSharedParameters, BadCertificate,
		NoPrimary, NoKeys, UnknownKid, TokenExpired, TokenNotYetValid, TokenRefused,
		Unreachable, Timeout, Canceled, Other,
	}
}

// Failed reports whether the outcome is a failure of any kind.
func (o Outcome) Failed() bool { return o != OK && o != Skipped }

// Credential reports whether the failure was caused by certificates, keys, tokens or settings, as
// opposed to a peer that was down or a run that ended.
func (o Outcome) Credential() bool {
	switch o {
	case UnknownAuthority, Expired, NotYetValid, NameMismatch, WrongUsage, CertificateRequired,
		BadSignature, NoCredential, NoSharedParameters, BadCertificate,
		NoPrimary, NoKeys, UnknownKid, TokenExpired, TokenNotYetValid, TokenRefused:
		return true
	case OK, Skipped, Unreachable, Timeout, Canceled, Other:
		return false
	}
	return false
}
