package keyring_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io/fs"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/keyring"
)

// start is where the clock of tests begins. No test reads a real one.
var start = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

// clock is a clock that tests set. It may be read concurrently, but not while it is set.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{now: start} }

func (c *clock) Now() time.Time          { return c.now }
func (c *clock) advance(d time.Duration) { c.now = c.now.Add(d) }

// rsaKey costs 100 ms, so it is made once.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func ecKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	return key
}

func edKey(tb testing.TB) ed25519.PrivateKey {
	tb.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(tb, err)
	return key
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func privatePEM(tb testing.TB, key any) string {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(tb, err)
	return block("PRIVATE KEY", der)
}

func publicPEM(tb testing.TB, key crypto.Signer) string {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(tb, err)
	return block("PUBLIC KEY", der)
}

// certPEM is a new self-signed certificate: another one on each call.
func certPEM(tb testing.TB, key crypto.Signer) string {
	tb.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(tb, err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "signer"},
		NotBefore: start, NotAfter: start.Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(tb, err)
	return block("CERTIFICATE", der)
}

// project makes files the content of a volume.
func project(v *credential.Volume, version string, files map[string]string) {
	payload := make(map[string][]byte, len(files))
	for name, data := range files {
		payload[name] = []byte(data)
	}
	v.Project(version, payload)
}

// mount returns a volume that holds files as its version 1.
func mount(files map[string]string) *credential.Volume {
	v := credential.NewVolume()
	project(v, "1", files)
	return v
}

// The three-phase rotation of a symmetric key.
var phases = []map[string]string{
	{"r1.key.primary": "one"},
	{"r1.key.primary": "one", "r2.key": "two"},
	{"r1.key": "one", "r2.key.primary": "two"},
	{"r2.key.primary": "two"},
}

// hooked runs hooks before a folder is listed and before a file is read.
type hooked struct {
	*credential.Volume
	onList func(list int) // the n-th, counted from 1
	onFile func(name string)
	lists  int
}

func (h *hooked) ReadDir(name string) ([]fs.DirEntry, error) {
	h.lists++
	if h.onList != nil {
		h.onList(h.lists)
	}
	return h.Volume.ReadDir(name)
}

func (h *hooked) ReadFile(name string) ([]byte, error) {
	if h.onFile != nil {
		h.onFile(name)
	}
	return h.Volume.ReadFile(name)
}

var (
	pair   = []keyring.Part{keyring.Private, keyring.Public}
	triple = []keyring.Part{keyring.Private, keyring.Public, keyring.Certificate}
)

// bytesOf returns files as they are on a disk.
func bytesOf(files map[string]string) map[string][]byte {
	out := map[string][]byte{}
	for name, text := range files {
		out[name] = []byte(text)
	}
	return out
}
