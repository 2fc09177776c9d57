package token_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/token"
)

// FuzzVerify throws texts at verifiers of all algorithms. Whatever they are, an error is of the
// closed set and does not quote them, and what is accepted was signed, header and claims, by a key
// of the verifier's set.
func FuzzVerify(f *testing.F) {
	signed := map[string]bool{}
	verifiers := make([]*token.Verifier, 0, 4)
	for _, a := range token.Algorithms() {
		s := token.Settings{Algorithm: a}
		verifiers = append(verifiers, newVerifier(f, s, "r1", "r2"))
		for _, id := range []string{"r1", "r2", "r3"} {
			text := sign(f, s, start, id)
			if id != "r3" {
				signed[text[:strings.LastIndexByte(text, '.')]] = true
			}
			f.Add(text)
		}
	}
	f.Add(dots(encode([]byte(`{"alg":"none","kid":"r1"}`)), encode([]byte(goodPayload())), ""))
	for _, more := range []string{
		`"crit":["b64"],"b64":false`, `"jwk":{"kty":"oct","k":"AAAA"}`, `"x5c":["AAAA"]`,
		`"jku":"http://127.0.0.1/"`, `"kid":"r2"`,
	} {
		head := encode([]byte(`{"alg":"HS256","kid":"r1",` + more + `}`))
		f.Add(dots(head, encode([]byte(goodPayload())), encode(make([]byte, 32))))
	}
	f.Add("..")
	f.Add("e30.e30.e30")
	f.Fuzz(func(t *testing.T, text string) {
		for _, v := range verifiers {
			claims, kid, err := v.Verify(t.Context(), start, text)
			if err == nil {
				input := text[:strings.LastIndexByte(text, '.')]
				require.True(t, signed[input], "a forgery: %q", text)
				require.Contains(t, []string{"r1", "r2"}, kid)
				require.Equal(t, "someone", claims.Subject)
				continue
			}
			outcome(t, err)
			require.Empty(t, claims)
			for part := range strings.SplitSeq(text, ".") {
				if len(part) >= 20 && part != kid {
					require.NotContains(t, err.Error(), part)
				}
			}
		}
	})
}

// FuzzParseSet throws documents at the reader of JWKS. What it accepts it can write, and read again
// as the same.
func FuzzParseSet(f *testing.F) {
	for _, a := range []token.Algorithm{token.RS256, token.ES256, token.EdDSA} {
		f.Add(published(f, verifying(f, a, "r1", "r2"), a))
		f.Add(jwks(jwkOf(f, keyOf(a, "r1"), "r1", "", "")))
	}
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"r1","e":"AQAB","n":"AAAA","x5c":["AAAA"]}]}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		for _, a := range []token.Algorithm{token.RS256, token.ES256, token.EdDSA} {
			set, err := token.ParseSet(document, a)
			if err != nil {
				require.Nil(t, set)
				continue
			}
			again, err := set.JWKS()
			require.NoError(t, err)
			same, err := token.ParseSet(again, a)
			require.NoError(t, err)
			require.Equal(t, set.Kids(), same.Kids())
			require.Zero(t, same.Ignored())
			for _, kid := range set.Kids() {
				require.Regexp(t, `^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$`, kid)
			}
		}
	})
}
