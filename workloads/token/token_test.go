package token_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/token"
)

func TestRoundTrip(t *testing.T) {
	for _, a := range token.Algorithms() {
		t.Run(string(a), func(t *testing.T) {
			s := token.Settings{Algorithm: a, Issuer: "shop", Audience: "orders"}
			claims := jwt.Claims{Subject: "someone", ID: "7"}
			text, kid, err := newSigner(t, s, "r2", "r1").Sign(start, claims,
				map[string]any{"role": "admin", "exp": 1, "iss": "me", "aud": "all"})
			require.NoError(t, err)
			assert.Equal(t, "r2", kid)
			header := map[string]string{}
			parts := strings.Split(text, ".")
			require.NoError(t, json.Unmarshal(decode(t, parts[0]), &header))
			assert.Equal(t, map[string]string{"alg": string(a), "kid": "r2", "typ": "JWT"}, header)

			var private struct {
				Role string `json:"role"`
			}
			v := newVerifier(t, s, "r1", "r2")
			got, kid, err := v.Verify(t.Context(), start, text, &private)
			require.NoError(t, err)
			assert.Equal(t, "r2", kid)
			assert.Equal(t, "admin", private.Role)
			assert.Equal(t, jwt.Claims{
				Subject: "someone", ID: "7", Issuer: "shop", Audience: jwt.Audience{"orders"},
				IssuedAt: jwt.NewNumericDate(start), NotBefore: jwt.NewNumericDate(start),
				Expiry: jwt.NewNumericDate(start.Add(token.DefaultTTL)),
			}, got)
		})
	}
}

// TestBoundaries asks at the nanosecond. The token is signed half a second after a whole one, and
// dates in tokens are whole seconds, rounded down.
func TestBoundaries(t *testing.T) {
	const ttl, leeway = 10 * time.Second, 2 * time.Second
	text := sign(t, token.Settings{Algorithm: token.HS256, TTL: ttl},
		start.Add(500*time.Millisecond), "r1")
	for _, leeway := range []time.Duration{0, leeway} {
		v := newVerifier(t, token.Settings{Algorithm: token.HS256, Leeway: leeway}, "r1")
		for _, row := range []struct {
			at   time.Time
			want token.Outcome
		}{
			{start.Add(-leeway - nano), token.TokenNotYetValid},
			{start.Add(-leeway), ""},
			{start.Add(ttl + leeway - nano), ""},
			{start.Add(ttl + leeway), token.TokenExpired},
		} {
			_, got := verify(t, v, row.at, text)
			assert.Equal(t, row.want, got, "leeway %v at %v", leeway, row.at.Sub(start))
		}
	}
}

func TestRounding(t *testing.T) {
	s := token.Settings{Algorithm: token.HS256, TTL: time.Second}
	v := newVerifier(t, s, "r1")
	text := sign(t, s, start.Add(time.Second-nano), "r1")
	_, got := verify(t, v, start.Add(time.Second-nano), text)
	assert.Empty(t, got, "it lives for a nanosecond")
	_, got = verify(t, v, start.Add(time.Second), text)
	assert.Equal(t, token.TokenExpired, got)
}

func TestDates(t *testing.T) {
	now := start.Unix()
	v := newVerifier(t, token.Settings{Algorithm: token.HS256}, "r1")
	for payload, want := range map[string]token.Outcome{
		`{"exp":%d}`:                     token.TokenExpired,
		`{"exp":%d.999}`:                 token.TokenExpired,
		`{"exp":1%d}`:                    "",
		`{"exp":1%[1]d,"nbf":%[1]d}`:     "",
		`{"exp":1%[1]d,"nbf":1%[1]d}`:    token.TokenNotYetValid,
		`{"exp":1%[1]d,"iat":1%[1]d}`:    token.TokenNotYetValid,
		`{"exp":1%[1]d,"nbf":4.6e18}`:    token.TokenNotYetValid,
		`{"exp":4.6e18,"nbf":%d}`:        "",
		`{"exp":1%[1]d,"nbf":4.7e18}`:    token.MalformedToken,
		`{"exp":1%[1]d,"nbf":1e400}`:     token.MalformedToken,
		`{"exp":-1%d}`:                   token.TokenExpired,
		`{"exp":"1%d"}`:                  token.MalformedToken,
		`{"exp":null,"x":%d}`:            token.MalformedToken,
		`{"Exp":1%d}`:                    token.MalformedToken,
		`{"nbf":%d}`:                     token.MalformedToken,
		`{"exp":1%[1]d,"exp":1%[1]d}`:    token.MalformedToken,
		`{"exp":1%d,"aud":{"a":"b"}}`:    token.MalformedToken,
		`[1%d]`:                          token.MalformedToken,
		`null%.0d`:                       token.MalformedToken,
		`%.0d`:                           token.MalformedToken,
		`{"exp":1%d}{}`:                  token.MalformedToken,
		`{"exp":1%d,"aud":["a"]} `:       "",
		`{"exp":1%d,"iss":["a","b"]}`:    token.MalformedToken,
		"{\"exp\":1%d,\"sub\":\"\xff\"}": "", // the decoder makes it U+FFFD
	} {
		payload = fmt.Sprintf(payload, now)
		_, got := verify(t, v, start, mac(t, header("r1"), payload))
		assert.Equal(t, want, got, payload)
	}
}

func TestIssuerAndAudience(t *testing.T) {
	base := token.Settings{Algorithm: token.ES256, Issuer: "shop", Audience: "orders"}
	text := sign(t, base, start, "r1")
	for _, row := range []struct {
		issuer, audience string
		want             token.Outcome
	}{
		{"shop", "orders", ""},
		{"", "", ""},
		{"Shop", "orders", token.WrongIssuer},
		{"shop", "order", token.WrongAudience},
	} {
		s := base
		s.Issuer, s.Audience = row.issuer, row.audience
		_, got := verify(t, newVerifier(t, s, "r1"), start, text)
		assert.Equal(t, row.want, got, "%v", row)
	}
	s := token.Settings{Algorithm: token.ES256}
	_, got := verify(t, newVerifier(t, base, "r1"), start, sign(t, s, start, "r1"))
	assert.Equal(t, token.WrongIssuer, got, "a token without iss")
}

// TestAnyRing holds verifiers of any ring against signers of any ring, at any time: a token is
// accepted if and only if its key is known and its time has come and not gone.
func TestAnyRing(t *testing.T) {
	ids := rapid.Permutation([]string{"r1", "r2", "r3"})
	count := rapid.IntRange(1, keyCount)
	rapid.Check(t, func(r *rapid.T) {
		a := rapid.SampledFrom(token.Algorithms()).Draw(r, "algorithm")
		signing := ids.Draw(r, "signing")[:count.Draw(r, "n")]
		known := ids.Draw(r, "verifying")[:count.Draw(r, "m")]
		ttl := time.Duration(rapid.Int64Range(1e9, 20e9).Draw(r, "ttl"))
		leeway := time.Duration(rapid.Int64Range(0, 3e9).Draw(r, "leeway"))
		signed := start.Add(time.Duration(rapid.Int64Range(0, 2e9).Draw(r, "signed")))
		edge := rapid.SampledFrom([]time.Time{
			signed.Truncate(time.Second).Add(-leeway),
			signed.Add(ttl).Truncate(time.Second).Add(leeway),
			signed,
		}).Draw(r, "edge")
		now := edge.Add(time.Duration(rapid.Int64Range(-2, 2).Draw(r, "off")))

		s := token.Settings{Algorithm: a, TTL: ttl, Leeway: leeway}
		text := sign(t, s, signed, signing...)
		kid, got := verify(t, newVerifier(t, s, known...), now, text)
		require.Equal(r, signing[0], kid)
		var want token.Outcome
		switch {
		case !slices.Contains(known, signing[0]):
			want = token.UnknownKid
		case now.Before(time.Unix(signed.Unix(), 0).Add(-leeway)):
			want = token.TokenNotYetValid
		case now.Sub(time.Unix(signed.Add(ttl).Unix(), 0)) >= leeway:
			want = token.TokenExpired
		}
		require.Equal(r, want, got)
	})
}

// TestRotation drives both roles through a rotation of one Secret. Each re-reads at once.
func TestRotation(t *testing.T) {
	for _, a := range token.Algorithms() {
		t.Run(string(a), func(t *testing.T) {
			now := start
			volume := credential.NewVolume()
			read := func(part keyring.Part) source {
				return keyring.New(volume, keyring.Settings{
					Parts: []keyring.Part{part}, TTL: time.Second, Check: a.Check,
					Now: func() time.Time { return now },
				}).Ring
			}
			s := token.Settings{Algorithm: a}
			signer, err := token.NewSigner(s, read(a.SigningPart()))
			require.NoError(t, err)
			verifier, err := token.NewVerifier(s, token.NewRingKeys(a, read(a.VerifyingPart())))
			require.NoError(t, err)
			_, _, err = signer.Sign(now, jwt.Claims{})
			assert.Equal(t, token.NoPrimary, outcome(t, err))

			var last string
			for i, ids := range [][]string{{"r1"}, {"r1", "r2"}, {"r2", "r1"}, {"r2"}} {
				now = now.Add(time.Second)
				volume.Project(strconv.Itoa(i), files(a, ids...))
				text, kid, err := signer.Sign(now, jwt.Claims{})
				require.NoError(t, err)
				assert.Equal(t, ids[0], kid)
				_, got := verify(t, verifier, now, text)
				assert.Empty(t, got)
				if i == 2 {
					_, got = verify(t, verifier, now, last)
					assert.Empty(t, got, "r1 still verifies")
				}
				if i == 3 {
					kid, got = verify(t, verifier, now, last)
					assert.Equal(t, token.UnknownKid, got, "r1 is gone")
					assert.Equal(t, "r1", kid)
				}
				if i < 2 {
					last = text
				}
			}
		})
	}
}

// TestConcurrently has all share a Secret that is rotated meanwhile: whatever is signed with a ring
// verifies with the next.
func TestConcurrently(t *testing.T) {
	s := token.Settings{Algorithm: token.HS256}
	rings := []*keyring.Ring{
		issuing(t, s.Algorithm, "r1", "r2"), issuing(t, s.Algorithm, "r2", "r1"),
	}
	var current atomic.Int64
	ring := func() (*keyring.Ring, error) { return rings[current.Load()%2], nil }
	signer, err := token.NewSigner(s, ring)
	require.NoError(t, err)
	verifier, err := token.NewVerifier(s, token.NewRingKeys(s.Algorithm, ring))
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				text, kid, signErr := signer.Sign(start, jwt.Claims{})
				current.Add(1)
				_, by, verifyErr := verifier.Verify(t.Context(), start, text)
				if signErr != nil || verifyErr != nil || kid != by {
					t.Error(kid, signErr, by, verifyErr)
				}
			}
		})
	}
	wg.Wait()
}

func TestWeakKeys(t *testing.T) {
	short := map[string][]byte{"r1.key.primary": []byte("thirty-one bytes are too few...")}
	for name, row := range map[string]struct {
		algorithm token.Algorithm
		files     map[string][]byte
	}{
		"a short secret":   {token.HS256, short},
		"RSA for ES256":    {token.ES256, files(token.RS256, "r1")},
		"EC for RS256":     {token.RS256, files(token.ES256, "r1")},
		"EC for EdDSA":     {token.EdDSA, files(token.ES256, "r1")},
		"1024 bits":        {token.RS256, asymmetric(weakRSA())},
		"P-384":            {token.ES256, asymmetric(p384())},
		"Ed25519 as ES256": {token.ES256, files(token.EdDSA, "r1")},
	} {
		t.Run(name, func(t *testing.T) {
			a := row.algorithm
			s := token.Settings{Algorithm: a}
			ring := ringOf(t, a.VerifyingPart(), row.files)
			_, err := token.SetOf(ring, a)
			got, ok := errors.AsType[*token.SetError](err)
			require.True(t, ok)
			assert.Equal(t, token.WrongKey, got.Problem)
			assert.Equal(t, "r1", got.Kid)
			require.Error(t, a.Check(ring.Primary()))

			v, err := token.NewVerifier(s, token.NewRingKeys(a, always(ring)))
			require.NoError(t, err)
			_, out := verify(t, v, start, sign(t, s, start, "r1"))
			assert.Equal(t, token.NoKeys, out)

			signer, err := token.NewSigner(s, always(ringOf(t, a.SigningPart(), row.files)))
			require.NoError(t, err)
			_, _, err = signer.Sign(start, jwt.Claims{})
			assert.Equal(t, token.NoPrimary, outcome(t, err))
		})
	}
}

// TestVerifiersCannotSign gives a signer the ring of a verifier.
func TestVerifiersCannotSign(t *testing.T) {
	s := token.Settings{Algorithm: token.ES256}
	signer, err := token.NewSigner(s, always(verifying(t, token.ES256, "r1")))
	require.NoError(t, err)
	_, kid, err := signer.Sign(start, jwt.Claims{})
	assert.Equal(t, token.NoPrimary, outcome(t, err))
	assert.Equal(t, "r1", kid)
}

func TestUnsignable(t *testing.T) {
	signer := newSigner(t, token.Settings{Algorithm: token.HS256}, "r1")
	for name, private := range map[string]any{
		"no object":    "admin",
		"not a number": map[string]any{"x": math.NaN()},
		"a channel":    map[string]any{"x": make(chan int)},
		"too long":     map[string]any{"x": strings.Repeat("x", token.MaxTokenBytes)},
	} {
		_, _, err := signer.Sign(start, jwt.Claims{}, private)
		assert.Equal(t, token.MalformedToken, outcome(t, err), name)
	}
}

func TestSettings(t *testing.T) {
	for want, s := range map[string]token.Settings{
		`algorithm "none"`: {Algorithm: "none"},
		`algorithm ""`:     {},
		`ttl 999ms`:        {Algorithm: token.HS256, TTL: 999 * time.Millisecond},
		`leeway -1ns`:      {Algorithm: token.HS256, Leeway: -1},
	} {
		_, err := token.NewSigner(s, nil)
		require.ErrorContains(t, err, want)
		_, err = token.NewVerifier(s, nil)
		require.ErrorContains(t, err, want)
	}
}

// TestPrivateClaimsOfBadTokens decodes nothing into what the caller holds before a token is known
// to be good.
func TestPrivateClaimsOfBadTokens(t *testing.T) {
	s := token.Settings{Algorithm: token.HS256}
	v := newVerifier(t, s, "r1")
	private := map[string]any{}
	text := sign(t, s, start, "r1")
	claims, kid, err := v.Verify(t.Context(), start.Add(time.Hour), text, &private)
	assert.Equal(t, token.TokenExpired, outcome(t, err))
	assert.Equal(t, "r1", kid)
	assert.Empty(t, private)
	assert.Equal(t, jwt.Claims{}, claims)
	var wrong struct {
		Subject int `json:"sub"`
	}
	_, _, err = v.Verify(t.Context(), start, text, &wrong)
	assert.Equal(t, token.MalformedToken, outcome(t, err))
}

// TestSetOfAnotherAlgorithm is a program put together wrongly.
func TestSetOfAnotherAlgorithm(t *testing.T) {
	keys := token.NewRingKeys(token.RS256, always(verifying(t, token.RS256, "r1")))
	v, err := token.NewVerifier(token.Settings{Algorithm: token.HS256}, keys)
	require.NoError(t, err)
	_, got := verify(t, v, start, sign(t, token.Settings{Algorithm: token.HS256}, start, "r1"))
	assert.Equal(t, token.NoKeys, got)
}
