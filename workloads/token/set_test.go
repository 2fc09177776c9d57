package token_test

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/token"
)

func jwkOf(tb testing.TB, key any, kid, alg, use string) string {
	tb.Helper()
	data, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: alg, Use: use})
	require.NoError(tb, err)
	return string(data)
}

func public(a token.Algorithm) crypto.PublicKey {
	key, ok := keyOf(a, "r1").(crypto.Signer)
	if !ok {
		panic(a)
	}
	return key.Public()
}

// with returns a key with one more member.
func with(member, key string) string { return "{" + member + "," + key[1:] }

func jwks(keys ...string) []byte { return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`) }

// TestPublished reads back what a ring publishes and verifies with it.
func TestPublished(t *testing.T) {
	for _, a := range []token.Algorithm{token.RS256, token.ES256, token.EdDSA} {
		for name, ring := range map[string]func(testing.TB, token.Algorithm, ...string) []byte{
			"of a verifier": func(tb testing.TB, a token.Algorithm, ids ...string) []byte {
				tb.Helper()
				return published(tb, verifying(tb, a, ids...), a)
			},
			"of an issuer": func(tb testing.TB, a token.Algorithm, ids ...string) []byte {
				tb.Helper()
				return published(tb, issuing(tb, a, ids...), a)
			},
		} {
			document := ring(t, a, "r2", "r1")
			set, err := token.ParseSet(document, a)
			require.NoError(t, err, name)
			assert.Equal(t, []string{"r1", "r2"}, set.Kids())
			assert.Equal(t, a, set.Algorithm())
			assert.Zero(t, set.Ignored())

			var all struct {
				Keys []map[string]string `json:"keys"`
			}
			require.NoError(t, json.Unmarshal(document, &all))
			require.Len(t, all.Keys, 2)
			for i, key := range all.Keys {
				assert.Equal(t, []string{"r1", "r2"}[i], key["kid"])
				assert.Equal(t, "sig", key["use"])
				assert.Equal(t, string(a), key["alg"])
				for _, secret := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
					assert.NotContains(t, key, secret)
				}
			}
			s := token.Settings{Algorithm: a}
			v, err := token.NewVerifier(s, fixed{set})
			require.NoError(t, err)
			_, got := verify(t, v, start, sign(t, s, start, "r1"))
			assert.Empty(t, got)
			_, got = verify(t, v, start, sign(t, s, start, "r3"))
			assert.Equal(t, token.UnknownKid, got)
		}
	}
}

func TestParseSetIgnores(t *testing.T) {
	key := public(token.ES256)
	good := jwkOf(t, key, "r1", "ES256", "sig")
	for name, other := range map[string]string{
		"another algorithm":    jwkOf(t, public(token.RS256), "r2", "RS256", "sig"),
		"another alg":          jwkOf(t, key, "r2", "ES384", "sig"),
		"another curve":        jwkOf(t, p384().Public(), "r2", "", ""),
		"another kind":         jwkOf(t, public(token.EdDSA), "r2", "", ""),
		"for encryption":       jwkOf(t, key, "r2", "", "enc"),
		"for wrapping":         with(`"key_ops":["wrapKey"]`, jwkOf(t, key, "r2", "", "")),
		"no kid":               jwkOf(t, key, "", "", ""),
		"a path as kid":        jwkOf(t, key, "../r2", "", ""),
		"a long kid":           jwkOf(t, key, strings.Repeat("r", 129), "", ""),
		"a number as kid":      strings.Replace(jwkOf(t, key, "r2", "", ""), `"r2"`, "2", 1),
		"a kind of the future": `{"kty":"PQC","kid":"r2"}`,
		"no kind":              `{"kid":"r2"}`,
		"a kind in capitals":   strings.Replace(jwkOf(t, key, "r2", "", ""), `"EC"`, `"ec"`, 1),
		"off the curve":        strings.Replace(jwkOf(t, key, "r2", "", ""), `"x":"`, `"x":"A`, 1),
		"a secret of no bytes": `{"kty":"oct","kid":"r2"}`,
		"nothing":              `{}`,
		"the same kid":         jwkOf(t, key, "r1", "ES256", "enc"),
	} {
		t.Run(name, func(t *testing.T) {
			set, err := token.ParseSet(jwks(other, good), token.ES256)
			require.NoError(t, err)
			assert.Equal(t, []string{"r1"}, set.Kids())
			assert.Equal(t, 1, set.Ignored())
			assert.True(t, set.Has("r1"))
			assert.False(t, set.Has("r2"))
			assert.False(t, set.Has(""))
		})
	}
	set, err := token.ParseSet(jwks(jwkOf(t, weakRSA().Public(), "r1", "", "")), token.RS256)
	require.NoError(t, err)
	assert.Equal(t, 1, set.Ignored(), "1024 bits")
	for _, e := range []string{"AQ", "Ag", "BA"} { // 1, which makes any signature good, 2 and 4
		weak := `{"kty":"RSA","kid":"r1","e":"` + e + `","n":"` + strings.Repeat("_", 342) + `"}`
		set, err = token.ParseSet(jwks(weak), token.RS256)
		require.NoError(t, err)
		assert.Equal(t, 1, set.Ignored())
	}
	set, err = token.ParseSet([]byte(`{"keys":[]}`), token.ES256)
	require.NoError(t, err)
	assert.Empty(t, set.Kids())
	set, err = token.ParseSet(jwks(with(`"key_ops":["verify"]`, good)), token.ES256)
	require.NoError(t, err)
	assert.Zero(t, set.Ignored())
}

func TestParseSetRefuses(t *testing.T) {
	good := jwkOf(t, public(token.ES256), "r1", "ES256", "sig")
	private := func(a token.Algorithm) string {
		return jwkOf(t, keyOf(a, "r2"), "r2", "", "enc")
	}
	spaces := strings.Repeat(" ", token.MaxSetBytes)
	many := make([]string, token.MaxSetKeys+1)
	for i := range many {
		many[i] = fmt.Sprintf(`{"kid":"r%d"}`, i)
	}
	for name, row := range map[string]struct {
		document []byte
		want     token.Problem
	}{
		"a private key":           {jwks(good, private(token.ES256)), token.Secret},
		"an RSA private key":      {jwks(good, private(token.RS256)), token.Secret},
		"a private key elsewhere": {jwks(private(token.EdDSA)), token.Secret},
		"a secret":                {jwks(good, private(token.HS256)), token.Secret},
		"half a private key":      {jwks(with(`"d":null`, good)), token.Secret},
		"a kid twice":             {jwks(good, good), token.Duplicate},
		"a name twice":            {jwks(with(`"kid":"r2"`, good)), token.Malformed},
		"keys twice":              {[]byte(`{"keys":[],"keys":[` + good + `]}`), token.Malformed},
		"no keys":                 {[]byte(`{}`), token.Malformed},
		"keys in capitals":        {[]byte(`{"Keys":[]}`), token.Malformed},
		"keys that are null":      {[]byte(`{"keys":null}`), token.Malformed},
		"a key that is null":      {jwks(good, "null"), token.Malformed},
		"a key that is a list":    {jwks("[]"), token.Malformed},
		"a list":                  {[]byte(`[` + good + `]`), token.Malformed},
		"one key":                 {[]byte(good), token.Malformed},
		"nothing":                 {nil, token.Malformed},
		"a page":                  {[]byte("<html>"), token.Malformed},
		"two documents":           {[]byte(`{"keys":[]}{"keys":[]}`), token.Malformed},
		"too many":                {jwks(many...), token.TooLarge},
		"too long":                {jwks(good, spaces), token.TooLarge},
		"depths":                  {[]byte(strings.ReplaceAll(spaces, " ", "[")), token.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := token.ParseSet(row.document, token.ES256)
			got, ok := errors.AsType[*token.SetError](err)
			require.True(t, ok, "%v", err)
			assert.Equal(t, row.want, got.Problem)
			assert.Nil(t, set)
		})
	}
}

// TestSecretsAreNotPublished tries each way to a JWKS of symmetric keys.
func TestSecretsAreNotPublished(t *testing.T) {
	problem := func(err error) token.Problem {
		got, ok := errors.AsType[*token.SetError](err)
		require.True(t, ok, "%v", err)
		return got.Problem
	}
	set := setOf(t, token.HS256, "r1")
	document, err := set.JWKS()
	assert.Nil(t, document)
	assert.Equal(t, token.Secret, problem(err))
	_, err = token.ServeJWKS(token.HS256, 0, always(verifying(t, token.HS256, "r1")))
	assert.Equal(t, token.Secret, problem(err))
	_, err = token.ParseSet(jwks(), token.HS256)
	assert.Equal(t, token.Secret, problem(err))
	_, err = token.ParseSet(jwks(), "none")
	assert.Equal(t, token.UnknownAlgorithm, problem(err))
	_, err = token.SetOf(verifying(t, token.HS256, "r1"), "none")
	assert.Equal(t, token.UnknownAlgorithm, problem(err))
	_, err = token.ServeJWKS("none", 0, nil)
	assert.Equal(t, token.UnknownAlgorithm, problem(err))
}
