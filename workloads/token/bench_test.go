package token_test

import (
	"errors"
	"testing"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/token"
)

// BenchmarkVerify compares a Verifier over a mounted ring and over a JWKS cache with go-jose alone,
// the same checks made: one algorithm, a key by kid, iss, aud and dates. The rate of token must not
// be less than 0.9 of that of bare.
func BenchmarkVerify(b *testing.B) {
	for _, a := range token.Algorithms() {
		s := token.Settings{Algorithm: a, Issuer: "shop", Audience: "orders"}
		text := sign(b, s, start, "r1", "r2")
		b.Run(string(a)+"/bare", func(b *testing.B) { benchmarkBare(b, s, text) })
		b.Run(string(a)+"/token", func(b *testing.B) {
			benchmarkVerifier(b, newVerifier(b, s, "r1", "r2"), text)
		})
		b.Run(string(a)+"/token-jwks", func(b *testing.B) {
			from := &issuer{set: setOf(b, a, "r1", "r2")}
			v, err := token.NewVerifier(s, newCache(b, token.PanvaJose(), from.fetch))
			require.NoError(b, err)
			benchmarkVerifier(b, v, text)
		})
	}
}

func benchmarkVerifier(b *testing.B, v *token.Verifier, text string) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := v.Verify(b.Context(), start, text); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkBare(b *testing.B, s token.Settings, text string) {
	b.Helper()
	ring := verifying(b, s.Algorithm, "r1", "r2")
	keys := map[string]any{}
	for _, id := range ring.IDs() {
		key, _ := ring.Key(id)
		keys[id] = key.Public()
		if s.Algorithm.Symmetric() {
			keys[id] = key.Symmetric()
		}
	}
	algorithms := []jose.SignatureAlgorithm{jose.SignatureAlgorithm(s.Algorithm)}
	expected := jwt.Expected{
		Issuer: s.Issuer, AnyAudience: jwt.Audience{s.Audience}, Time: start,
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := bare(keys, algorithms, expected, text); err != nil {
			b.Fatal(err)
		}
	}
}

func bare(
	keys map[string]any, algorithms []jose.SignatureAlgorithm, expected jwt.Expected, text string,
) error {
	parsed, err := jwt.ParseSigned(text, algorithms)
	if err != nil {
		return err
	}
	key, ok := keys[parsed.Headers[0].KeyID]
	if !ok {
		return errors.New("unknown kid")
	}
	var claims jwt.Claims
	if err := parsed.Claims(key, &claims); err != nil {
		return err
	}
	return claims.ValidateWithLeeway(expected, 0)
}

// BenchmarkSign compares a Signer with go-jose alone.
func BenchmarkSign(b *testing.B) {
	for _, a := range token.Algorithms() {
		b.Run(string(a)+"/bare", func(b *testing.B) {
			signer, err := jose.NewSigner(
				jose.SigningKey{Algorithm: jose.SignatureAlgorithm(a), Key: keyOf(a, "r1")},
				(&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "r1"))
			require.NoError(b, err)
			claims := jwt.Claims{
				Subject: "someone", IssuedAt: jwt.NewNumericDate(start),
				NotBefore: jwt.NewNumericDate(start),
				Expiry:    jwt.NewNumericDate(start.Add(token.DefaultTTL)),
			}
			for b.Loop() {
				if _, err := jwt.Signed(signer).Claims(claims).Serialize(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(a)+"/token", func(b *testing.B) {
			signer := newSigner(b, token.Settings{Algorithm: a}, "r1")
			for b.Loop() {
				if _, _, err := signer.Sign(start, jwt.Claims{Subject: "someone"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
