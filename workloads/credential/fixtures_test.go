package credential_test

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
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/credential"
)

// start is the instant around which fixtures are valid. No test reads a clock.
var start = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

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

// authority is a CA that mints leafs on the spot.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newAuthority(tb testing.TB, name string) *authority {
	tb.Helper()
	key := ecKey(tb)
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	return &authority{cert: sign(tb, template, template, key, key), key: key}
}

func (ca *authority) leaf(
	tb testing.TB, key crypto.Signer, subject pkix.Name, dns ...string,
) *x509.Certificate {
	tb.Helper()
	return sign(tb, &x509.Certificate{Subject: subject, DNSNames: dns}, ca.cert, key, ca.key)
}

func sign(
	tb testing.TB, template, parent *x509.Certificate, key, by crypto.Signer,
) *x509.Certificate {
	tb.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(tb, err)
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = start.Add(-time.Hour), start.Add(24*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	require.NoError(tb, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(tb, err)
	return cert
}

func certPEM(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, cert := range certs {
		block := &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}
		out = append(out, pem.EncodeToMemory(block)...)
	}
	return out
}

func keyPEM(tb testing.TB, key crypto.Signer) []byte {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(tb, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// issue returns the Secret of a new leaf and its key under a CA.
func issue(tb testing.TB, ca *authority) map[string][]byte {
	tb.Helper()
	key := ecKey(tb)
	leaf := ca.leaf(tb, key, pkix.Name{CommonName: "node"}, "node.example.com")
	return map[string][]byte{
		"ca.crt": certPEM(ca.cert), "tls.crt": certPEM(leaf), "tls.key": keyPEM(tb, key),
	}
}

// mount returns a volume that holds files as its version 1.
func mount(files map[string][]byte) *credential.Volume {
	v := credential.NewVolume()
	v.Project("1", files)
	return v
}

// hooked runs a hook before the n-th open, counted from 1.
type hooked struct {
	*credential.Volume
	opens int
	hook  func(open int)
}

func (h *hooked) ReadFile(name string) ([]byte, error) {
	h.opens++
	h.hook(h.opens)
	return h.Volume.ReadFile(name)
}
