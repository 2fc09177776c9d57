package token_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/token"
)

// start is where the clock of tests begins: on a whole second. No test reads a real one.
var start = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

const (
	keyCount = 3 // r1 to r3 exist
	nano     = time.Nanosecond
)

// material is the keys of an algorithm, made once: three RSA keys cost half a second.
var material = map[token.Algorithm]func() []any{
	token.HS256: sync.OnceValue(func() []any {
		return generate(func() (any, error) {
			secret := make([]byte, 32)
			_, err := rand.Read(secret)
			return secret, err
		})
	}),
	token.RS256: sync.OnceValue(func() []any {
		return generate(func() (any, error) { return rsa.GenerateKey(rand.Reader, 2048) })
	}),
	token.ES256: sync.OnceValue(func() []any {
		return generate(func() (any, error) {
			return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		})
	}),
	token.EdDSA: sync.OnceValue(func() []any {
		return generate(func() (any, error) {
			_, key, err := ed25519.GenerateKey(rand.Reader)
			return key, err
		})
	}),
}

func generate(one func() (any, error)) []any {
	keys := make([]any, keyCount)
	for i := range keys {
		key, err := one()
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
}

// keyOf returns the key of an id from r1 to r3.
func keyOf(a token.Algorithm, id string) any {
	n, err := strconv.Atoi(id[1:])
	if err != nil {
		panic(err)
	}
	return material[a]()[n-1]
}

func block(kind string, der []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// files are those of a Secret with the keys of ids, the first of which is primary.
func files(a token.Algorithm, ids ...string) map[string][]byte {
	out := map[string][]byte{}
	for i, id := range ids {
		mark := ""
		if i == 0 {
			mark = ".primary"
		}
		if secret, ok := keyOf(a, id).([]byte); ok {
			out[id+".key"+mark] = secret
			continue
		}
		key, ok := keyOf(a, id).(crypto.Signer)
		if !ok {
			panic(id)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		out[id+".private"+mark] = block("PRIVATE KEY", der, err)
		der, err = x509.MarshalPKIXPublicKey(key.Public())
		out[id+".public"] = block("PUBLIC KEY", der, err)
	}
	return out
}

func ringOf(tb testing.TB, part keyring.Part, files map[string][]byte) *keyring.Ring {
	tb.Helper()
	volume := credential.NewVolume()
	volume.Project("1", files)
	ring, err := keyring.Read(volume, keyring.Settings{Parts: []keyring.Part{part}})
	require.NoError(tb, err)
	return ring
}

type source = func() (*keyring.Ring, error)

func always(ring *keyring.Ring) source {
	return func() (*keyring.Ring, error) { return ring, nil }
}

// issuing and verifying are rings of the ids, the first of which is primary.
func issuing(tb testing.TB, a token.Algorithm, ids ...string) *keyring.Ring {
	tb.Helper()
	return ringOf(tb, a.SigningPart(), files(a, ids...))
}

func verifying(tb testing.TB, a token.Algorithm, ids ...string) *keyring.Ring {
	tb.Helper()
	return ringOf(tb, a.VerifyingPart(), files(a, ids...))
}

func setOf(tb testing.TB, a token.Algorithm, ids ...string) *token.Set {
	tb.Helper()
	set, err := token.SetOf(verifying(tb, a, ids...), a)
	require.NoError(tb, err)
	return set
}

func published(tb testing.TB, ring *keyring.Ring, a token.Algorithm) []byte {
	tb.Helper()
	set, err := token.SetOf(ring, a)
	require.NoError(tb, err)
	document, err := set.JWKS()
	require.NoError(tb, err)
	return document
}

// fixed are keys that never change.
type fixed struct{ set *token.Set }

func (f fixed) Set(context.Context, time.Time, string) (*token.Set, error) { return f.set, nil }

func newSigner(tb testing.TB, s token.Settings, ids ...string) *token.Signer {
	tb.Helper()
	signer, err := token.NewSigner(s, always(issuing(tb, s.Algorithm, ids...)))
	require.NoError(tb, err)
	return signer
}

func newVerifier(tb testing.TB, s token.Settings, ids ...string) *token.Verifier {
	tb.Helper()
	keys := token.NewRingKeys(s.Algorithm, always(verifying(tb, s.Algorithm, ids...)))
	verifier, err := token.NewVerifier(s, keys)
	require.NoError(tb, err)
	return verifier
}

func sign(tb testing.TB, s token.Settings, now time.Time, ids ...string) string {
	tb.Helper()
	text, kid, err := newSigner(tb, s, ids...).Sign(now, jwt.Claims{Subject: "someone"})
	require.NoError(tb, err)
	require.Equal(tb, ids[0], kid)
	return text
}

// outcome is how a verification ended; "" is success. An error must be of the closed set.
func outcome(tb testing.TB, err error) token.Outcome {
	tb.Helper()
	if err == nil {
		return ""
	}
	got, ok := errors.AsType[*token.Error](err)
	require.True(tb, ok, "%T", err)
	require.True(tb, slices.Contains(token.Outcomes(), got.Outcome), got.Outcome)
	return got.Outcome
}

func verify(
	tb testing.TB, v *token.Verifier, now time.Time, text string,
) (kid string, _ token.Outcome) {
	tb.Helper()
	_, kid, err := v.Verify(tb.Context(), now, text)
	return kid, outcome(tb, err)
}

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func decode(tb testing.TB, part string) []byte {
	tb.Helper()
	data, err := base64.RawURLEncoding.DecodeString(part)
	require.NoError(tb, err)
	return data
}

// payloadOf is the claims of a token that is good at start.
func goodPayload() string {
	return `{"sub":"someone","exp":` + strconv.FormatInt(start.Unix()+300, 10) + `}`
}

func dots(parts ...string) string {
	var out bytes.Buffer
	for i, part := range parts {
		if i > 0 {
			out.WriteByte('.')
		}
		out.WriteString(part)
	}
	return out.String()
}
