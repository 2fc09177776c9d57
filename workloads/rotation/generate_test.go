package rotation_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/rotation"
)

// The same bytes make the same key, but for RSA; other bytes make another.
func TestGenerate(t *testing.T) {
	for _, test := range []struct {
		key      rotation.Key
		unseeded bool
	}{
		{key: rotation.Key{Kind: rotation.Symmetric, Length: 48}},
		{key: rotation.Key{Kind: rotation.Password, Length: 40}},
		{key: rotation.Key{Kind: rotation.EC, Curve: rotation.P256}},
		{key: rotation.Key{Kind: rotation.EC, Curve: rotation.P384}},
		{key: rotation.Key{Kind: rotation.EC, Curve: rotation.P521}},
		{key: rotation.Key{Kind: rotation.Ed25519}},
		{key: rotation.Key{Kind: rotation.RSA, Bits: 2048}, unseeded: true},
	} {
		t.Run(fmt.Sprintf("%s%s", test.key.Kind, test.key.Curve), func(t *testing.T) {
			one, err := rotation.Generate(test.key, seeded(1))
			require.NoError(t, err)
			two, err := rotation.Generate(test.key, seeded(1))
			require.NoError(t, err)
			other, err := rotation.Generate(test.key, seeded(2))
			require.NoError(t, err)
			assert.Equal(t, !test.unseeded, assert.ObjectsAreEqual(one, two))
			assert.NotEqual(t, one, other)
			holds(t, test.key, one)
		})
	}
}

// holds asserts that material is what a key asks for.
func holds(t *testing.T, key rotation.Key, material rotation.Material) {
	t.Helper()
	switch key.Kind {
	case rotation.Symmetric:
		assert.Len(t, material[rotation.SecretPart], key.Length)
		return
	case rotation.Password:
		assert.Regexp(t, `^[A-Za-z0-9]{40}$`,
			string(material[rotation.PasswordPart]))
		return
	case rotation.RSA, rotation.EC, rotation.Ed25519:
	}
	block, _ := pem.Decode(material[rotation.PrivatePart])
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	require.NoError(t, err)
	block, _ = pem.Decode(material[rotation.PublicPart])
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	require.NoError(t, err)
	assert.Equal(t, private.(crypto.Signer).Public(), public)
	switch public := public.(type) {
	case *rsa.PublicKey:
		assert.Equal(t, key.Bits, public.N.BitLen())
	case *ecdsa.PublicKey:
		assert.Equal(t, string(key.Curve), public.Curve.Params().Name)
	case ed25519.PublicKey:
		assert.Equal(t, rotation.Ed25519, key.Kind)
	}
}

// Every character of a password is as likely as any other.
func TestPasswordIsFair(t *testing.T) {
	const length, of = 62_000, 62
	material, err := rotation.Generate(
		rotation.Key{Kind: rotation.Password, Length: length}, seeded(3))
	require.NoError(t, err)
	counts := map[byte]int{}
	for _, c := range material[rotation.PasswordPart] {
		counts[c]++
	}
	assert.Len(t, counts, of)
	for c, n := range counts {
		assert.InDelta(t, length/of, n, 160, "%c", c) // five standard deviations
	}
}

// A source that fails, ends or is stuck makes no key and writes nothing.
func TestBadSource(t *testing.T) {
	broken := errors.New("broken")
	stuck := readerFunc(func(p []byte) (int, error) {
		copy(p, bytes.Repeat([]byte{0xff}, len(p)))
		return len(p), nil
	})
	for _, key := range []rotation.Key{
		{Kind: rotation.Symmetric, Length: 32},
		{Kind: rotation.Password, Length: 32},
		{Kind: rotation.EC, Curve: rotation.P521},
		{Kind: rotation.Ed25519},
	} {
		_, err := rotation.Generate(key, iotest.ErrReader(broken))
		require.ErrorIs(t, err, broken)
		_, err = rotation.Generate(key, strings.NewReader("short"))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
	for _, key := range []rotation.Key{
		{Kind: rotation.Password, Length: 32},
		{Kind: rotation.EC, Curve: rotation.P256},
		{Kind: "x"},
		{Kind: rotation.EC},
	} {
		_, err := rotation.Generate(key, stuck)
		require.Error(t, err)
	}
	d := newDriver(t, byTime())
	for _, ids := range []rotation.IDKind{rotation.Counter, rotation.UUID} {
		d.in.Spec.IDs = ids
		secret, err := rotation.Apply(rotation.Decide(d.at(100*minute).in), d.files,
			rotation.Source{Random: iotest.ErrReader(broken)})
		require.ErrorIs(t, err, broken)
		assert.Empty(t, secret.Files)
	}
	_, err := rotation.Apply(rotation.Decide(d.in), d.files, rotation.Source{
		Random: seeded(1),
		Keys: func(rotation.Key, io.Reader) (rotation.Material, error) {
			return rotation.Material{rotation.PublicPart: nil}, nil
		},
	})
	assert.Error(t, err)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestIDs(t *testing.T) {
	for ids, want := range map[rotation.IDKind]string{
		rotation.Counter:   `^k-2$`,
		rotation.Timestamp: `^k-20260102T164405Z$`,
		rotation.UUID:      `^k-019b7f98-4808-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`,
	} {
		t.Run(string(ids), func(t *testing.T) {
			spec := byTime()
			spec.IDs, spec.Prefix = ids, "k-"
			d := newDriver(t, spec)
			old := d.in.State.Primary
			d.at(100 * minute).step()
			assert.Regexp(t, want, d.in.State.Next)
			order, ok := rotation.Order(old, d.in.State.Next)
			assert.True(t, ok)
			assert.Equal(t, -1, order)
			order, _ = rotation.Order(d.in.State.Next, old)
			assert.Equal(t, 1, order)
			_, ok = rotation.Order(old, old)
			assert.False(t, ok)
		})
	}
}

// A clock that was set back makes no id that was there.
func TestClockBack(t *testing.T) {
	spec := byTime()
	spec.IDs = rotation.Timestamp
	d := newDriver(t, spec)
	assert.Equal(t, []string{"20260102T150405Z.key.primary"}, d.in.Names)
	d.in.Orders.Rotate = "x"
	d.at(-1000*minute).is(rotation.Publish, rotation.Ordered,
		"20260102T150405Z.key.primary", "20260102T150406Z.key")
}
