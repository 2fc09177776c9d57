package token

import (
	"errors"
	"fmt"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/certquake/certquake/workloads/keyring"
)

// Algorithm is the name of a signature algorithm, as in a token's alg header.
type Algorithm string

// The algorithms.
const (
	HS256 Algorithm = "HS256" // HMAC with SHA-256; secrets of 32 bytes or more
	RS256 Algorithm = "RS256" // RSA PKCS #1 v1.5 with SHA-256; keys of 2048 to 8192 bits
	ES256 Algorithm = "ES256" // ECDSA on P-256 with SHA-256
	EdDSA Algorithm = "EdDSA" // Ed25519
)

// Algorithms returns every algorithm.
func Algorithms() []Algorithm { return []Algorithm{HS256, RS256, ES256, EdDSA} }

// Symmetric reports whether those who verify could sign too.
func (a Algorithm) Symmetric() bool { return a == HS256 }

// SigningPart returns the part of a key ring that a Signer needs.
func (a Algorithm) SigningPart() keyring.Part {
	if a.Symmetric() {
		return keyring.Symmetric
	}
	return keyring.Private
}

// VerifyingPart returns the part of a key ring that a Verifier needs and ServeJWKS publishes.
func (a Algorithm) VerifyingPart() keyring.Part {
	if a.Symmetric() {
		return keyring.Symmetric
	}
	return keyring.Public
}

func (a Algorithm) known() bool {
	switch a {
	case HS256, RS256, ES256, EdDSA:
		return true
	}
	return false
}

func (a Algorithm) jose() jose.SignatureAlgorithm { return jose.SignatureAlgorithm(a) }

// DefaultTTL is how long a token is valid unless Settings say otherwise.
const DefaultTTL = 5 * time.Minute

// MaxTokenBytes is how long a token may be, signed or verified. Servers refuse headers not much
// longer than that.
const MaxTokenBytes = 16 << 10

// Settings are what an issuer and its verifiers agree on. The zero value lacks an Algorithm.
type Settings struct {
	Algorithm Algorithm `json:"algorithm"`
	// Issuer is the iss claim: written by a Signer, demanded by a Verifier, neither if empty.
	Issuer string `json:"issuer,omitempty"`
	// Audience is the aud claim: written by a Signer; a Verifier demands to be among those a token
	// names. Neither if empty.
	Audience string `json:"audience,omitempty"`
	// TTL is how long a token is valid: DefaultTTL if 0, a second at least. Dates in tokens are
	// whole seconds and a Signer rounds them down, so a token is valid for up to a second less.
	TTL time.Duration `json:"ttl_ns,omitempty"`
	// Leeway is by how much a Verifier stretches a token's validity at both ends, on account of
	// clocks that differ. 0 is none.
	Leeway time.Duration `json:"leeway_ns,omitempty"`
}

func (s Settings) orDefault() (Settings, error) {
	if s.TTL == 0 {
		s.TTL = DefaultTTL
	}
	var algorithm, ttl, leeway error
	if !s.Algorithm.known() {
		algorithm = fmt.Errorf("algorithm %q: want one of %v", s.Algorithm, Algorithms())
	}
	if s.TTL < time.Second {
		ttl = fmt.Errorf("ttl %v: want a second or more, since tokens tell whole seconds", s.TTL)
	}
	if s.Leeway < 0 {
		leeway = fmt.Errorf("leeway %v: want none or more", s.Leeway)
	}
	return s, errors.Join(algorithm, ttl, leeway)
}
