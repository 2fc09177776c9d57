package token

import (
	"errors"
	"fmt"
)

// Outcome is how the signing or verifying of a token failed. The set is closed, so it may label
// rows and metrics.
type Outcome string

// The outcomes of a Signer and a Verifier.
const (
	// NoPrimary: the signer has no key to sign with, because there is no ring or its primary does
	// not fit the algorithm.
	NoPrimary Outcome = "no-primary"
	// NoKeys: the verifier has no set of keys at all, or none that it may still use.
	NoKeys Outcome = "no-keys"
	// UnknownKid: the verifier's set has no key of the token's kid.
	UnknownKid Outcome = "unknown-kid"
	// BadSignature: the signature is not of the key that the verifier has for the token's kid.
	BadSignature Outcome = "bad-signature"
	// TokenExpired: the verifier's clock is at or after exp, leeway included.
	TokenExpired Outcome = "token-expired"
	// TokenNotYetValid: the verifier's clock is before nbf or iat, leeway included.
	TokenNotYetValid Outcome = "token-not-yet-valid"
	// WrongAlgorithm: alg is not the one that the verifier accepts. It may be "none".
	WrongAlgorithm Outcome = "wrong-algorithm"
	// WrongIssuer: iss is not the issuer that the verifier trusts.
	WrongIssuer Outcome = "wrong-issuer"
	// WrongAudience: the verifier is not among those that aud names.
	WrongAudience Outcome = "wrong-audience"
	// MalformedToken: it is no token that an issuer of this package would write: not a canonical
	// JWS, without a kid or exp, with headers that are refused, or too long.
	MalformedToken Outcome = "malformed-token"
)

// Outcomes returns every outcome.
func Outcomes() []Outcome {
	return []Outcome{
		NoPrimary, NoKeys, UnknownKid, BadSignature, TokenExpired, TokenNotYetValid,
		WrongAlgorithm, WrongIssuer, WrongAudience, MalformedToken,
	}
}

// Error is why a token was not signed or not accepted. It never holds a token, a claim or key
// material.
type Error struct {
	Outcome Outcome
	// Kid is the id of the key concerned; "" if there is none or it is no valid id. Anyone can put
	// any valid id into a token, so it must not label metrics.
	Kid string
	Err error // the cause
}

// Error names the key, the outcome and the cause.
func (e *Error) Error() string {
	if e.Kid == "" {
		return fmt.Sprintf("token: %s: %v", e.Outcome, e.Err)
	}
	return fmt.Sprintf("token of key %s: %s: %v", e.Kid, e.Outcome, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Problem is what was wrong with a set of keys. The set is closed, so it may label metrics.
type Problem string

// The problems of a set of keys.
const (
	Malformed        Problem = "malformed"         // no JSON object with a list of keys
	TooLarge         Problem = "too-large"         // beyond MaxSetBytes or MaxSetKeys
	Secret           Problem = "secret"            // a secret where public keys belong
	Duplicate        Problem = "duplicate"         // two keys of one kid
	WrongKey         Problem = "wrong-key"         // too weak or of another algorithm
	UnknownAlgorithm Problem = "unknown-algorithm" // none of Algorithms
	Unfetched        Problem = "unfetched"         // no answer, or none with a document
)

// SetError is why there is no set of keys. It never holds key material.
type SetError struct {
	Kid     string // of the key concerned; "" when it is about no one key
	Problem Problem
	Err     error // the cause
}

// Error names the key, the problem and its cause.
func (e *SetError) Error() string {
	if e.Kid == "" {
		return fmt.Sprintf("keys: %s: %v", e.Problem, e.Err)
	}
	return fmt.Sprintf("key %s: %s: %v", e.Kid, e.Problem, e.Err)
}

// Unwrap returns the cause.
func (e *SetError) Unwrap() error { return e.Err }

// The causes that are this package's own. What parsers say is withheld: it may quote what they
// parsed.
var (
	errLong      = errors.New("the token is longer than 16 KiB")
	errForm      = errors.New("want three parts of canonical base64url with dots between")
	errJWS       = errors.New("the header is not that of a signed token")
	errKid       = errors.New("want a kid: " + kidForm)
	errHeader    = errors.New("a header jwk, jku, x5u, x5c, crit or b64 is refused")
	errAlgorithm = errors.New("only the algorithm of the settings is accepted")
	errUnknown   = errors.New("the verifier's keys have none of this id")
	errSignature = errors.New("the signature is not of the verifier's key of this id")
	errPayload   = errors.New("the signed content is not a set of claims")
	errNoExpiry  = errors.New("no exp: such a token would outlive its key")
	errExpired   = errors.New("exp has passed")
	errEarly     = errors.New("nbf or iat is still to come")
	errIssuer    = errors.New("iss is not the issuer of the settings")
	errAudience  = errors.New("aud does not name the audience of the settings")
	errClaims    = errors.New("want claims that JSON can tell as one object, each name once")
	errOtherSet  = errors.New("the set of keys is of another algorithm than the settings")

	errShort     = errors.New("want a secret of 32 bytes or more")
	errRSA       = errors.New("want an RSA key of 2048 to 8192 bits and an odd exponent")
	errEC        = errors.New("want an EC key on P-256")
	errEd        = errors.New("want an Ed25519 key")
	errNoPrivate = errors.New("the ring was read without the part that signs")

	errJWKS      = errors.New("want a JSON object with a list of keys, no name twice")
	errKeys      = fmt.Errorf("want %d bytes and %d keys at most", MaxSetBytes, MaxSetKeys)
	errSecret    = errors.New("a JWKS is for public keys: it can be read by anyone")
	errDuplicate = errors.New("two keys of this id")
	errEncoding  = errors.New("a key of the set cannot be written as JSON")
	errAddress   = errors.New("the address of the JWKS does not parse")
	errNoSet     = errors.New("the fetch ended without a set")
)
