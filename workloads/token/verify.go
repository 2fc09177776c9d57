package token

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Keys is where a Verifier takes its keys from: RingKeys or a Cache.
type Keys interface {
	// Set returns the keys to verify with at the instant now, for a token of the id kid.
	Set(ctx context.Context, now time.Time, kid string) (*Set, error)
}

// Verifier accepts tokens of one algorithm by key id. Create it with NewVerifier. It is safe for
// concurrent use.
type Verifier struct {
	settings   Settings
	keys       Keys
	algorithms []jose.SignatureAlgorithm
	nobody     *x509.CertPool
}

// NewVerifier returns a verifier of what a Signer with the same Settings signs.
func NewVerifier(s Settings, keys Keys) (*Verifier, error) {
	s, err := s.orDefault()
	if err != nil {
		return nil, err
	}
	return &Verifier{
		settings: s, keys: keys, algorithms: []jose.SignatureAlgorithm{s.Algorithm.jose()},
		nobody: x509.NewCertPool(),
	}, nil
}

// Verify returns the claims of a token that is good at the instant now of the verifier's clock, and
// the id of the key that it was signed with. The context bounds how long it waits for keys.
//
// A token is good from nbf and iat on, if it has them, up to but not including exp, which it must
// have; Leeway stretches both. Fractions of a second in these dates are dropped. Claims of other
// names are decoded into private, pointers to structs or maps, once all else is well.
//
// The error is an *Error, which has the id in every case in which the token had a valid one. It is
// NoKeys, and wraps what Keys returned, if nothing could be told about the token; all other
// outcomes are about the token.
func (v *Verifier) Verify(
	ctx context.Context, now time.Time, token string, private ...any,
) (claims jwt.Claims, kid string, err error) {
	parsed, kid, err := v.parse(now, token)
	if err != nil {
		return jwt.Claims{}, kid, err
	}
	key, err := v.key(ctx, now, kid)
	if err != nil {
		return jwt.Claims{}, kid, err
	}
	if err := parsed.Claims(key, &claims); errors.Is(err, jose.ErrCryptoFailure) {
		return jwt.Claims{}, kid, &Error{Outcome: BadSignature, Kid: kid, Err: errSignature}
	} else if err != nil {
		return jwt.Claims{}, kid, &Error{Outcome: MalformedToken, Kid: kid, Err: errPayload}
	}
	if outcome, cause := v.settings.judge(&claims, now); cause != nil {
		return jwt.Claims{}, kid, &Error{Outcome: outcome, Kid: kid, Err: cause}
	}
	// It is verified by now; Claims would do it once more.
	if parsed.UnsafeClaimsWithoutVerification(private...) != nil {
		return jwt.Claims{}, kid, &Error{Outcome: MalformedToken, Kid: kid, Err: errPayload}
	}
	return claims, kid, nil
}

// parse takes a token apart and refuses what needs no key to be refused.
func (v *Verifier) parse(now time.Time, token string) (*jwt.JSONWebToken, string, error) {
	switch {
	case len(token) > MaxTokenBytes:
		return nil, "", &Error{Outcome: MalformedToken, Err: errLong}
	case !canonical(token):
		return nil, "", &Error{Outcome: MalformedToken, Err: errForm}
	}
	parsed, err := jwt.ParseSigned(token, v.algorithms)
	if _, ok := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); ok {
		return nil, "", &Error{Outcome: WrongAlgorithm, Err: errAlgorithm}
	}
	if err != nil {
		return nil, "", &Error{Outcome: MalformedToken, Err: errJWS}
	}
	header := &parsed.Headers[0]
	if !validKid(header.KeyID) {
		return nil, "", &Error{Outcome: MalformedToken, Err: errKid}
	}
	if v.presumptuous(now, header) {
		return nil, header.KeyID, &Error{
			Outcome: MalformedToken, Kid: header.KeyID, Err: errHeader,
		}
	}
	return parsed, header.KeyID, nil
}

// presumptuous reports whether a token wants a say in how it is verified.
func (v *Verifier) presumptuous(now time.Time, header *jose.Header) bool {
	if header.JSONWebKey != nil {
		return true
	}
	for _, name := range [...]jose.HeaderKey{"jku", "x5u", "crit", "b64"} {
		if _, ok := header.ExtraHeaders[name]; ok {
			return true
		}
	}
	// The one way to see whether there is an x5c is to have its chain verified, by nobody's roots.
	_, err := header.Certificates(x509.VerifyOptions{Roots: v.nobody, CurrentTime: now})
	return !errors.Is(err, jose.ErrMissingX5cHeader)
}

// key returns the verifier's key of an id.
func (v *Verifier) key(ctx context.Context, now time.Time, kid string) (any, error) {
	set, err := v.keys.Set(ctx, now, kid)
	if err != nil {
		return nil, &Error{Outcome: NoKeys, Kid: kid, Err: err}
	}
	if set.algorithm != v.settings.Algorithm {
		return nil, &Error{Outcome: NoKeys, Kid: kid, Err: errOtherSet}
	}
	key, ok := set.key(kid)
	if !ok {
		return nil, &Error{Outcome: UnknownKid, Kid: kid, Err: errUnknown}
	}
	return key, nil
}

// judge tells why claims are not good at the instant now. RFC 7519 has a token end at exp, where
// go-jose's own Validate accepts it for that instant still.
func (s *Settings) judge(c *jwt.Claims, now time.Time) (Outcome, error) {
	early := now.Add(s.Leeway)
	switch {
	case s.Issuer != "" && c.Issuer != s.Issuer:
		return WrongIssuer, errIssuer
	case s.Audience != "" && !slices.Contains(c.Audience, s.Audience):
		return WrongAudience, errAudience
	case c.Expiry == nil:
		return MalformedToken, errNoExpiry
	case !now.Add(-s.Leeway).Before(c.Expiry.Time()):
		return TokenExpired, errExpired
	case c.NotBefore != nil && early.Before(c.NotBefore.Time()),
		c.IssuedAt != nil && early.Before(c.IssuedAt.Time()):
		return TokenNotYetValid, errEarly
	}
	return "", nil
}

// canonical reports whether a token is written in the one way its content has. The decoder of
// go-jose skips ends of lines and does not mind bits that belong to no byte: a token could be
// altered in many ways that verify, and lists of refused tokens be evaded.
func canonical(token string) bool {
	if strings.IndexByte(token, '\n') >= 0 || strings.IndexByte(token, '\r') >= 0 {
		return false
	}
	parts := 0
	for part := range strings.SplitSeq(token, ".") {
		parts++
		if !wholeBytes(part) {
			return false
		}
	}
	return parts == 3
}

// wholeBytes reports whether the last digit of base64url has no bits beyond the last byte.
func wholeBytes(part string) bool {
	rest := len(part) % 4
	if rest == 0 {
		return true
	}
	digit := strings.IndexByte(base64url, part[len(part)-1])
	return rest == 2 && digit&0x0f == 0 || rest == 3 && digit&0x03 == 0
}

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
