package token

import (
	"sync/atomic"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/certquake/certquake/workloads/keyring"
)

// Signer signs tokens with the primary of a key ring. Create it with NewSigner. It is safe for
// concurrent use.
type Signer struct {
	settings Settings
	ring     func() (*keyring.Ring, error)
	last     atomic.Pointer[primary]
}

// primary is the primary of a ring made ready to sign.
type primary struct {
	ring *keyring.Ring
	kid  string
	sign func(claims jwt.Claims, private []any) (string, error) // a closure hides the key
	err  error
}

// NewSigner returns a signer over a source of rings, such as the Ring method of a keyring.Keyring
// that was told to read the SigningPart of the algorithm. The source is asked at each signature. As
// long as it returns the same pointer, the key is not made ready anew.
func NewSigner(s Settings, ring func() (*keyring.Ring, error)) (*Signer, error) {
	s, err := s.orDefault()
	if err != nil {
		return nil, err
	}
	return &Signer{settings: s, ring: ring}, nil
}

// Sign returns a token, valid from the instant now for the TTL, and the id of the key that it was
// signed with. The claims iat, nbf and exp are always the signer's, iss and aud are if its Settings
// have them; of the private claims, each a struct or a map[string]any, those of these names are
// lost. The error is an *Error: NoPrimary, or MalformedToken if the claims cannot be told in JSON
// or in MaxTokenBytes.
func (s *Signer) Sign(
	now time.Time, claims jwt.Claims, private ...any,
) (token, kid string, err error) {
	p, err := s.primary()
	if err != nil {
		return "", "", &Error{Outcome: NoPrimary, Err: err}
	}
	if p.err != nil {
		return "", p.kid, &Error{Outcome: NoPrimary, Kid: p.kid, Err: p.err}
	}
	if s.settings.Issuer != "" {
		claims.Issuer = s.settings.Issuer
	}
	if s.settings.Audience != "" {
		claims.Audience = jwt.Audience{s.settings.Audience}
	}
	claims.IssuedAt = jwt.NewNumericDate(now)
	claims.NotBefore = claims.IssuedAt
	claims.Expiry = jwt.NewNumericDate(now.Add(s.settings.TTL))
	token, err = p.sign(claims, private)
	switch {
	case err != nil:
		return "", p.kid, &Error{Outcome: MalformedToken, Kid: p.kid, Err: errClaims}
	case len(token) > MaxTokenBytes:
		return "", p.kid, &Error{Outcome: MalformedToken, Kid: p.kid, Err: errLong}
	}
	return token, p.kid, nil
}

// primary returns the key to sign with now. Callers that find a new ring at once each make it
// ready: that is cheaper than a lock at each signature.
func (s *Signer) primary() (*primary, error) {
	ring, err := s.ring()
	if err != nil {
		return nil, err
	}
	if p := s.last.Load(); p != nil && p.ring == ring {
		return p, nil
	}
	p := ready(ring, s.settings.Algorithm)
	s.last.Store(p)
	return p, nil
}

func ready(ring *keyring.Ring, a Algorithm) *primary {
	p := &primary{ring: ring, kid: ring.Primary().ID}
	key, err := a.signing(ring.Primary())
	if err != nil {
		p.err = err
		return p
	}
	// The kid goes in as a header of our own: go-jose takes none from a symmetric key.
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", p.kid)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: a.jose(), Key: key}, options)
	if err != nil {
		p.err = errNoPrivate // withheld, and out of reach: the key fits
		return p
	}
	p.sign = func(claims jwt.Claims, private []any) (string, error) {
		builder := jwt.Signed(signer)
		for _, more := range private {
			builder = builder.Claims(more)
		}
		return builder.Claims(claims).Serialize()
	}
	return p
}
