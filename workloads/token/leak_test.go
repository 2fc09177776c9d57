package token_test

import (
	"crypto/ecdsa"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"reflect"
	"strings"
	"testing"

	josejson "github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/token"
)

// failure collects what a failing assertion prints: it goes through pointers and unexported fields.
type failure struct{ text strings.Builder }

func (f *failure) Errorf(format string, args ...any) { fmt.Fprintf(&f.text, format, args...) }

func printed(v any) string {
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b"} {
		fmt.Fprintf(&out, verb+"\n", v)
	}
	data, err := json.Marshal(v)
	fmt.Fprintln(&out, string(data), err)
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
	var f failure
	assert.Equal(&f, reflect.Zero(reflect.TypeOf(v)).Interface(), v)
	return out.String() + f.text.String()
}

// forms are the ways in which bytes are printed, each in part.
func forms(material []byte) []string {
	part := material[8:14]
	return []string{
		string(part), hex.EncodeToString(part), strings.Trim(fmt.Sprintf("%d", part), "[]"),
		strings.Trim(fmt.Sprintf("%#v", part)[6:], "{}"), fmt.Sprintf("% x", part),
		encode(material[9:15]),
	}
}

func TestNothingLeaks(t *testing.T) {
	private, ok := keyOf(token.ES256, "r1").(*ecdsa.PrivateKey)
	require.True(t, ok)
	scalar, err := private.Bytes()
	require.NoError(t, err)
	secret, ok := keyOf(token.HS256, "r1").([]byte)
	require.True(t, ok)
	for a, material := range map[token.Algorithm][]byte{token.HS256: secret, token.ES256: scalar} {
		s := token.Settings{Algorithm: a}
		signer, verifier := newSigner(t, s, "r1"), newVerifier(t, s, "r1")
		text, _, err := signer.Sign(start, jwt.Claims{})
		require.NoError(t, err)
		_, got := verify(t, verifier, start, text)
		require.Empty(t, got)
		set := setOf(t, a, "r1")
		cache := newCache(t, token.GoOIDC(), (&issuer{set: set}).fetch)
		_, err = cache.Set(t.Context(), start, "r1")
		require.NoError(t, err)
		hidden := forms(material)
		if a == token.ES256 {
			number := new(big.Int).SetBytes(scalar)
			hidden = append(hidden, number.String(), number.Text(16))
		}
		for _, v := range []any{
			signer, verifier, set, *set, cache, cache.Status(), keysOf(t, a),
		} {
			out := printed(v)
			for _, form := range hidden {
				assert.NotContains(t, out, form, "%T", v)
			}
		}
	}
	assert.Equal(t, "r1 r2", fmt.Sprint(setOf(t, token.HS256, "r2", "r1")))
}

func keysOf(t *testing.T, a token.Algorithm) *token.RingKeys {
	t.Helper()
	keys := token.NewRingKeys(a, always(verifying(t, a, "r1")))
	_, err := keys.Set(t.Context(), start, "r1")
	require.NoError(t, err)
	return keys
}

// TestLeaksWouldBeSeen prints what does leak: the test above must be able to fail.
func TestLeaksWouldBeSeen(t *testing.T) {
	secret, ok := keyOf(token.HS256, "r1").([]byte)
	require.True(t, ok)
	out := printed(struct{ inner *struct{ data []byte } }{&struct{ data []byte }{secret}})
	assert.Contains(t, out, fmt.Sprintf("% x", secret[9:14]))
}

// TestErrorsDoNotLeak puts words into every place of tokens and keys that may be quoted.
func TestErrorsDoNotLeak(t *testing.T) {
	const word = "hunter2"
	v := newVerifier(t, token.Settings{
		Algorithm: token.HS256, Issuer: "shop", Audience: "orders",
	}, "r1")
	var errs []error
	for _, row := range [][2]string{
		{`{"alg":"` + word + `","kid":"r1"}`, goodPayload()},
		{`{"alg":"HS256","kid":"` + word + `/"}`, goodPayload()},
		{`{"alg":"HS256","kid":["` + word + `"]}`, goodPayload()},
		{`{"alg":"HS256","kid":"r1","x5c":"` + word + `"}`, goodPayload()},
		{`{"alg":"HS256","kid":"r1","jwk":{"kty":"` + word + `"}}`, goodPayload()},
		{`{"alg":"HS256","kid":"r1","nonce":{"` + word + `":1}}`, goodPayload()},
		{`{"alg":"HS256","kid":"r1","` + word + `":1,"` + word + `":1}`, goodPayload()},
		{header("r1"), `{"` + word + `":1,"` + word + `":1}`},
		{header("r1"), `{"iss":"` + word + `"}`},
		{header("r1"), `{"iss":"shop","aud":"` + word + `"}`},
		{header("r1"), `{"iss":"shop","aud":"orders","exp":"` + word + `"}`},
		{header("r1"), `{"iss":"shop","aud":"orders","exp":1,"sub":"` + word + `"}`},
		{header("r1"), word},
		{header("r2"), `{"sub":"` + word + `"}`},
		{word, word},
	} {
		text := mac(t, row[0], row[1])
		_, _, refused := v.Verify(t.Context(), start, text)
		require.Error(t, refused)
		for part := range strings.SplitSeq(text, ".") {
			assert.NotContains(t, refused.Error(), part)
		}
		errs = append(errs, refused)
	}
	signer := newSigner(t, token.Settings{Algorithm: token.HS256}, "r1")
	_, _, err := signer.Sign(start, jwt.Claims{}, map[string]any{"x": josejson.Number(word)})
	errs = append(errs, err)
	for _, document := range []string{
		word, `{"keys":"` + word + `"}`, `{"keys":["` + word + `"]}`,
		`{"keys":[{"` + word + `":1,"` + word + `":1}]}`,
		`{"keys":[{"kty":"oct","k":"` + word + `"}]}`,
		`{"keys":[{"kty":"EC","kid":"r1","d":"` + word + `"}]}`,
	} {
		_, refused := token.ParseSet([]byte(document), token.ES256)
		errs = append(errs, refused)
	}
	_, err = token.SetOf(ringOf(t, token.HS256.SigningPart(),
		map[string][]byte{"r1.key.primary": []byte(word)}), token.HS256)
	errs = append(errs, err)
	for _, refused := range errs {
		require.Error(t, refused)
		for ; refused != nil; refused = errors.Unwrap(refused) {
			assert.NotContains(t, printed(refused), word)
		}
	}
}
