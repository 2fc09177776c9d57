package sealed_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/sealed"
)

func TestOpenThroughARotation(t *testing.T) {
	t.Parallel()
	old := seal(t, ringOf(t, "r1*"), "hello")
	for _, ids := range [][]string{{"r1*"}, {"r1*", "r2"}, {"r1", "r2*"}} {
		plaintext, err := sealed.Open(ringOf(t, ids...), old)
		require.NoError(t, err)
		assert.Equal(t, "hello", string(plaintext))
	}
	_, err := sealed.Open(ringOf(t, "r2*"), old)
	assert.Equal(t, "r1", requireProblem(t, sealed.UnknownKey, err))
	id, err := sealed.KeyID(old)
	require.NoError(t, err)
	assert.Equal(t, "r1", id)
}

func TestEachSealHasItsOwnIV(t *testing.T) {
	t.Parallel()
	ring := ringOf(t, "r1*")
	seen := map[string]bool{}
	for range 1000 {
		_, rest, _ := strings.Cut(seal(t, ring, "same"), ":")
		iv, _, _ := strings.Cut(rest, ":")
		require.False(t, seen[iv])
		seen[iv] = true
	}
}

func TestSealNeedsAKeyOf32Bytes(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 16, 24, 31, 33, 64} {
		ring, err := keyring.Read(mount(map[string][]byte{"r1*": make([]byte, size)}),
			keyring.Settings{})
		require.NoError(t, err)
		_, err = sealed.Seal(ring.Primary(), nil, nil)
		assert.Equal(t, "r1", requireProblem(t, sealed.BadKey, err))
		_, err = sealed.Open(ring, seal(t, ringOf(t, "r1*"), "x"))
		requireProblem(t, sealed.BadKey, err)
	}
	_, err := sealed.Seal(keyring.Key{}, nil, nil)
	requireProblem(t, sealed.UnknownKey, err)
}

func TestSealNeedsAWholeIV(t *testing.T) {
	t.Parallel()
	_, err := sealed.Seal(ringOf(t, "r1*").Primary(), nil, bytes.NewReader(make([]byte, 11)))
	requireProblem(t, sealed.NoIV, err)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// Whichever bit of whichever part is changed, nothing is opened. The text stays well-formed.
func TestEveryBitIsAuthenticated(t *testing.T) {
	t.Parallel()
	ring := ringOf(t, "r1*")
	parts := strings.Split(seal(t, ring, "every bit counts"), ":")
	for part := 1; part <= 2; part++ {
		data, err := base64.StdEncoding.DecodeString(parts[part])
		require.NoError(t, err)
		for bit := range len(data) * 8 {
			changed := bytes.Clone(data)
			changed[bit/8] ^= 1 << (bit % 8)
			other := []string{parts[0], parts[1], parts[2]}
			other[part] = base64.StdEncoding.EncodeToString(changed)
			plaintext, err := sealed.Open(ring, strings.Join(other, ":"))
			requireProblem(t, sealed.BadCiphertext, err)
			require.Nil(t, plaintext)
		}
	}
}

// The id is authenticated even where two ids have the same key.
func TestTheIDIsAuthenticated(t *testing.T) {
	t.Parallel()
	same := mount(map[string][]byte{"r1*": material("r"), "r2": material("r")})
	ring, err := keyring.Read(same, keyring.Settings{})
	require.NoError(t, err)
	text := seal(t, ring, "hello")
	_, err = sealed.Open(ring, "r2"+strings.TrimPrefix(text, "r1"))
	requireProblem(t, sealed.BadCiphertext, err)
}

// An id is valid here exactly if a key of it can be in a ring.
func TestIDsAreThoseOfTheKeyring(t *testing.T) {
	t.Parallel()
	for _, id := range []string{
		"r1", "R1", "1", "a.b-c_d", "a.", "a-", "", ".a", "-a", "_a", "a b", "a:b", "ü", "a\x00",
		"a.primary", "a.primary.b", "primary", strings.Repeat("a", 128), strings.Repeat("a", 129),
		"a/b", "a.key", "a\n", "a+", "a=", "@", "[", "`", "{", "/",
	} {
		names := anyNames{id + ".key", "other.key.primary"}
		_, err := keyring.Read(names, keyring.Settings{})
		bad, _ := errors.AsType[*keyring.ReadError](err)
		refused := bad != nil && bad.Problem == keyring.BadID
		hidden := strings.HasPrefix(id+".key", ".") // never a key's file
		assert.Equal(t, !refused && !hidden, keyring.ValidID(id), "%q", id)
	}
}

// No error quotes what it was given, which may be a plaintext, nor a key.
func TestErrorsDoNotLeak(t *testing.T) {
	t.Parallel()
	const secret = "correct-horse-battery-staple-xyz"
	keys := mount(map[string][]byte{"r1*": []byte(secret), "r2": []byte(secret + "!")})
	ring, err := keyring.Read(keys, keyring.Settings{})
	require.NoError(t, err)
	text := seal(t, ring, secret)
	store := newStore(t)
	_, short := sealed.Seal(ring.Primary(), []byte(secret), strings.NewReader(""))
	other, _ := ring.Key("r2")
	_, bad := sealed.Seal(other, []byte(secret), nil)
	errs := []error{
		short, bad, store.Put(sealed.Record{ID: "a", Sealed: secret}),
		store.Put(sealed.Record{ID: secret + strings.Repeat("x", 2000), Sealed: text}),
		store.Retire(secret + ":"),
	}
	for _, given := range []string{
		secret, secret + ":" + secret + ":" + secret, secret + ":AAAA:", "r1:" + secret + ":",
		text[:len(text)-4], strings.Replace(text, "r1", "r2", 1),
		strings.Replace(text, ":", ":AAAA", 1),
	} {
		_, err = sealed.Open(ring, given)
		errs = append(errs, err)
	}
	_, err = store.Get(secret)
	errs = append(errs, err)
	for _, err := range errs {
		require.Error(t, err)
		assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "horse")
	}
}

func BenchmarkSeal(b *testing.B) {
	ring := ringOf(b, "r1*")
	plaintext := make([]byte, 256)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sealed.Seal(ring.Primary(), plaintext, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	ring := ringOf(b, "r1*")
	text := seal(b, ring, strings.Repeat("x", 256))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sealed.Open(ring, text); err != nil {
			b.Fatal(err)
		}
	}
}
