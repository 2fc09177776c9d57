package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/token"
)

func header(kid string) string { return `{"alg":"HS256","kid":"` + kid + `"}` }

// macWith signs anything with a secret, as RFC 7515 has it.
func macWith(secret []byte, header, payload string) string {
	input := dots(encode([]byte(header)), encode([]byte(payload)))
	hash := hmac.New(sha256.New, secret)
	hash.Write([]byte(input))
	return dots(input, encode(hash.Sum(nil)))
}

// mac signs anything with the secret of r1.
func mac(tb testing.TB, header, payload string) string {
	tb.Helper()
	secret, ok := keyOf(token.HS256, "r1").([]byte)
	require.True(tb, ok)
	return macWith(secret, header, payload)
}

// asymmetric are the files of a Secret with any key.
func asymmetric(key crypto.Signer) map[string][]byte {
	private, err := x509.MarshalPKCS8PrivateKey(key)
	out := map[string][]byte{"r1.private.primary": block("PRIVATE KEY", private, err)}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	out["r1.public"] = block("PUBLIC KEY", public, err)
	return out
}

func p384() crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func weakRSA() crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		panic(err)
	}
	return key
}

// TestAlgorithms throws the tokens of each algorithm, and of none, at the verifiers of each.
func TestAlgorithms(t *testing.T) {
	unsigned := dots(encode([]byte(`{"alg":"none","kid":"r1"}`)), encode([]byte(goodPayload())), "")
	for _, a := range token.Algorithms() {
		v := newVerifier(t, token.Settings{Algorithm: a}, "r1")
		for _, b := range token.Algorithms() {
			text := sign(t, token.Settings{Algorithm: b}, start, "r1")
			want := token.WrongAlgorithm
			if a == b {
				want = ""
			}
			_, got := verify(t, v, start, text)
			assert.Equal(t, want, got, "%s by %s", b, a)
			parts := strings.Split(text, ".")
			_, got = verify(t, v, start, dots(parts[0], parts[1], ""))
			if a == b {
				want = token.BadSignature
			}
			assert.Equal(t, want, got, "%s without a signature", b)
		}
		for _, alg := range []string{
			"none", "None", "nOnE", "NONE", "", "hs256", "HS384", "HS512", "RS512", "PS256",
			"ES384", "Ed25519", "dir",
		} {
			text := strings.Replace(unsigned, encode([]byte(`{"alg":"none","kid":"r1"}`)),
				encode([]byte(`{"alg":"`+alg+`","kid":"r1"}`)), 1)
			_, got := verify(t, v, start, text)
			assert.Equal(t, token.WrongAlgorithm, got, "alg %q by %s", alg, a)
		}
		for _, head := range []string{
			`{"kid":"r1"}`, `{"alg":null,"kid":"r1"}`,
			`{"alg":["HS256"],"kid":"r1"}`, `{"ALG":"HS256","kid":"r1"}`,
		} {
			text := dots(encode([]byte(head)), encode([]byte(goodPayload())), encode([]byte("x")))
			_, got := verify(t, v, start, text)
			assert.Equal(t, token.WrongAlgorithm, got, head)
		}
	}
}

// TestConfusion signs with HS256 and what everybody knows: the public key, in every encoding in
// which a verifier might hold it.
func TestConfusion(t *testing.T) {
	for _, a := range []token.Algorithm{token.RS256, token.ES256, token.EdDSA} {
		private, ok := keyOf(a, "r1").(crypto.Signer)
		require.True(t, ok)
		der, err := x509.MarshalPKIXPublicKey(private.Public())
		require.NoError(t, err)
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		jwk, err := json.Marshal(jose.JSONWebKey{Key: private.Public(), KeyID: "r1"})
		require.NoError(t, err)
		for _, secret := range [][]byte{text, text[:len(text)-1], der, jwk} {
			for _, alg := range []string{"HS256", string(a)} {
				forged := macWith(secret, `{"alg":"`+alg+`","kid":"r1"}`, goodPayload())
				v := newVerifier(t, token.Settings{Algorithm: a}, "r1")
				_, got := verify(t, v, start, forged)
				want := token.WrongAlgorithm
				if alg == string(a) {
					want = token.BadSignature
				}
				assert.Equal(t, want, got, "%s as %s", a, alg)
			}
		}
	}
}

func TestForeignKids(t *testing.T) {
	v := newVerifier(t, token.Settings{Algorithm: token.HS256}, "r1", "r2")
	for _, row := range []struct {
		header string
		want   token.Outcome
		kid    string
	}{
		{header("r1"), "", "r1"},
		{header("r2"), token.BadSignature, "r2"},
		{header("r3"), token.UnknownKid, "r3"},
		{header("R1"), token.UnknownKid, "R1"},
		{header("r1.key.primary"), token.UnknownKid, "r1.key.primary"},
		{header(strings.Repeat("r", 128)), token.UnknownKid, strings.Repeat("r", 128)},
		{header(strings.Repeat("r", 129)), token.MalformedToken, ""},
		{header(strings.Repeat("r", 1<<20)), token.MalformedToken, ""},
		{header("../../etc/passwd"), token.MalformedToken, ""},
		{header("..data"), token.MalformedToken, ""},
		{header("."), token.MalformedToken, ""},
		{header(`..\\r1`), token.MalformedToken, ""},
		{header("/dev/null"), token.MalformedToken, ""},
		{header("r1\\u0000"), token.MalformedToken, ""},
		{header("r1\\n"), token.MalformedToken, ""},
		{header(" r1"), token.MalformedToken, ""},
		{header("r1' OR 1=1"), token.MalformedToken, ""},
		{header("http://[::1]/keys"), token.MalformedToken, ""},
		{header("ｒ1"), token.MalformedToken, ""},
		{header(""), token.MalformedToken, ""},
		{header("\\u0072\\u0031"), "", "r1"}, // r1 in another writing of JSON, and signed
		{`{"alg":"HS256"}`, token.MalformedToken, ""},
		{`{"alg":"HS256","kid":null}`, token.MalformedToken, ""},
		{`{"alg":"HS256","kid":1}`, token.MalformedToken, ""},
		{`{"alg":"HS256","kid":["r1"]}`, token.MalformedToken, ""},
		{`{"alg":"HS256","Kid":"r1"}`, token.MalformedToken, ""},
		{`{"alg":"HS256","kid":"r1","kid":"r2"}`, token.MalformedToken, ""},
		{`{"alg":"HS256","kid":"r1","kid":"r1"}`, token.MalformedToken, ""},
		{`{"alg":"HS256","alg":"none","kid":"r1"}`, token.MalformedToken, ""},
		{`{"alg":"HS256","kid":"r1","\u006bid":"r2"}`, token.MalformedToken, ""},
		{`{"alg":"HS256","kid":"r1","KID":"r2"}`, "", "r1"},
	} {
		kid, got := verify(t, v, start, mac(t, row.header, goodPayload()))
		assert.Equal(t, row.want, got, "%.200s", row.header)
		assert.Equal(t, row.kid, kid, "%.200s", row.header)
	}
}

// TestPresumptuousHeaders has tokens that are signed well and yet want a say in their verification.
func TestPresumptuousHeaders(t *testing.T) {
	evil, ok := p384().(*ecdsa.PrivateKey)
	require.True(t, ok)
	jwk, err := json.Marshal(jose.JSONWebKey{Key: evil.Public(), KeyID: "r1"})
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, evil.Public(), evil)
	require.NoError(t, err)
	x5c := `["` + base64.StdEncoding.EncodeToString(cert) + `"]`
	v := newVerifier(t, token.Settings{Algorithm: token.HS256}, "r1")
	for more, want := range map[string]token.Outcome{
		`"jwk":` + string(jwk):                    token.MalformedToken,
		`"jwk":{"kty":"oct","k":"AAAA"}`:          token.MalformedToken,
		`"jku":"https://evil.example/jwks.json"`:  token.MalformedToken,
		`"x5u":"https://evil.example/cert.pem"`:   token.MalformedToken,
		`"x5c":` + x5c:                            token.MalformedToken,
		`"x5c":["AAAA"]`:                          token.MalformedToken,
		`"b64":false,"crit":["b64"]`:              token.MalformedToken,
		`"b64":true,"crit":["b64"]`:               token.MalformedToken,
		`"b64":false`:                             token.MalformedToken,
		`"crit":["exp"],"exp":1`:                  token.MalformedToken,
		`"crit":[]`:                               token.MalformedToken,
		`"crit":"b64"`:                            token.MalformedToken,
		`"\u0063rit":["x"]`:                       token.MalformedToken,
		`"x5t":"AAAA","cty":"JWT","typ":"at+jwt"`: "",
		`"nonce":"1","zip":"DEF","enc":"A128GCM"`: "",
		`"extension":{"nested":[` + "1" + `,{}]}`: "",
	} {
		_, got := verify(t, v, start, mac(t, `{"alg":"HS256","kid":"r1",`+more+`}`, goodPayload()))
		assert.Equal(t, want, got, more)
	}
}

// TestLongTokens has good ones, some of them too long.
func TestLongTokens(t *testing.T) {
	v := newVerifier(t, token.Settings{Algorithm: token.HS256}, "r1")
	payload := goodPayload()
	empty := len(mac(t, header("r1"), payload))
	room := (token.MaxTokenBytes-empty)*3/4 - 2 // base64 has four digits for three bytes
	over := map[token.Outcome][]int{}           // by how many bytes
	for more := range 5 {
		text := mac(t, header("r1"), payload+strings.Repeat(" ", room+more))
		_, got := verify(t, v, start, text)
		over[got] = append(over[got], len(text)-token.MaxTokenBytes)
	}
	require.Len(t, over, 2)
	assert.Equal(t, 0, slices.Max(over[""]))
	assert.Equal(t, 2, slices.Min(over[token.MalformedToken]), "none is one byte too long")
}

// TestUnencodedPayload signs the payload itself (RFC 7797), not its base64.
func TestUnencodedPayload(t *testing.T) {
	secret, ok := keyOf(token.HS256, "r1").([]byte)
	require.True(t, ok)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: secret},
		(&jose.SignerOptions{}).WithBase64(false).WithHeader("kid", "r1"))
	require.NoError(t, err)
	object, err := signer.Sign([]byte(goodPayload()))
	require.NoError(t, err)
	text, err := object.CompactSerialize()
	require.NoError(t, err)
	_, got := verify(t, newVerifier(t, token.Settings{Algorithm: token.HS256}, "r1"), start, text)
	assert.Equal(t, token.MalformedToken, got)
}

// TestOtherWritings alters a good token without altering what go-jose decodes of it, among others.
func TestOtherWritings(t *testing.T) {
	for _, a := range token.Algorithms() {
		s := token.Settings{Algorithm: a}
		text := sign(t, s, start, "r1")
		v := newVerifier(t, s, "r1")
		_, got := verify(t, v, start, text)
		require.Empty(t, got)
		p := strings.Split(text, ".")
		for _, other := range []string{
			"", ".", "..", "...", text + ".", "." + text, text + "\n", text + " ", " " + text,
			text[:9] + "\n" + text[9:], text[:9] + "\r" + text[9:], text + "=", text[:len(text)-1],
			dots(p[0]+"\n", p[1], p[2]), dots(p[0], p[1], p[2]+"\r\n"), dots(p[0], p[1]),
			dots(p[0], "", p[2]), dots(p[0]+"=", p[1], p[2]), "Bearer " + text, text + "." + text,
			`{"payload":"` + p[1] + `","protected":"` + p[0] + `","signature":"` + p[2] + `"}`,
			dots(p[0], p[1], flip(p[2])), dots(p[0], flip(p[1]), p[2]),
			dots(flip(p[0]), p[1], p[2]),
			dots(p[0], p[1], strings.Repeat("A", len(p[2]))),
		} {
			_, got := verify(t, v, start, other)
			assert.NotEmpty(t, got, "%s: %.30q of %d bytes", a, other, len(other))
		}
		for i := range p {
			if loose := loosened(p[i]); loose != "" {
				q := append([]string{}, p...)
				q[i] = loose
				require.Equal(t, decode(t, p[i]), decode(t, loose))
				_, got := verify(t, v, start, dots(q...))
				assert.Equal(t, token.MalformedToken, got, "%s: part %d", a, i)
			}
		}
	}
}

const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// flip returns a part with the first digit changed.
func flip(part string) string {
	return string(digits[(strings.IndexByte(digits, part[0])+1)%64]) + part[1:]
}

// loosened returns another writing of the same bytes, or "" if there is none.
func loosened(part string) string {
	if len(part)%4 == 0 {
		return ""
	}
	last := len(part) - 1
	return part[:last] + string(digits[strings.IndexByte(digits, part[last])|1])
}
