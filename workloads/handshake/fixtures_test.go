package handshake_test

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
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/handshake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start is the instant at which tests begin. No test reads a clock.
var start = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

// at returns a clock that stands still.
func at(t time.Time) func() time.Time { return func() time.Time { return t } }

// RSA keys cost 100 ms each, so they are made once. Leafs may share one; CAs have their own.
var (
	rsaLeafKey  = sync.OnceValue(func() crypto.Signer { return newRSA() })
	rsaOtherKey = sync.OnceValue(func() crypto.Signer { return newRSA() })
	rsaCAKey    = sync.OnceValue(func() crypto.Signer { return newRSA() })
)

func newRSA() crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

func newEC() crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func newEd25519() crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// authority is a CA that mints leafs on the spot.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// validity is how long a test's certificates live, around start.
type validity struct{ from, to time.Duration }

var (
	aDay   = validity{-time.Hour, 24 * time.Hour}
	aYear  = validity{-time.Hour, 365 * 24 * time.Hour}
	past   = validity{-2 * time.Hour, -time.Hour}
	future = validity{time.Hour, 2 * time.Hour}
)

func newAuthority(tb testing.TB, name string, key crypto.Signer, valid validity) *authority {
	tb.Helper()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	ca := &authority{key: key}
	ca.cert = sign(tb, template, nil, key, key, valid)
	return ca
}

// order is what a leaf is to be.
type order struct {
	cn     string
	dns    []string
	ips    []net.IP
	usages []x509.ExtKeyUsage // both if nil
	key    crypto.Signer
	valid  validity
}

func (ca *authority) leaf(tb testing.TB, o order) *x509.Certificate {
	tb.Helper()
	if o.usages == nil {
		o.usages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: o.cn},
		DNSNames:    o.dns,
		IPAddresses: o.ips,
		ExtKeyUsage: o.usages,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	return sign(tb, template, ca.cert, o.key, ca.key, o.valid)
}

func sign(
	tb testing.TB, template, parent *x509.Certificate, key, by crypto.Signer, valid validity,
) *x509.Certificate {
	tb.Helper()
	if valid == (validity{}) {
		valid = aDay
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(tb, err)
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = start.Add(valid.from), start.Add(valid.to)
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	require.NoError(tb, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(tb, err)
	return cert
}

// holder is a leaf with its key, ready to become material.
func (ca *authority) holder(
	tb testing.TB, o order, trusted ...*authority,
) *credential.Material {
	tb.Helper()
	if o.key == nil {
		o.key = newEC()
	}
	if o.dns == nil && o.cn == "" {
		o.dns = []string{"node.example.com"}
	}
	leaf := ca.leaf(tb, o)
	m := &credential.Material{
		Leaf: leaf, Chain: []*x509.Certificate{leaf, ca.cert}, Key: o.key,
	}
	if len(trusted) == 0 {
		trusted = []*authority{ca}
	}
	for _, t := range trusted {
		m.CAs = append(m.CAs, t.cert)
	}
	return m
}

func ready(tb testing.TB, m *credential.Material, s handshake.Settings) *handshake.Context {
	tb.Helper()
	c, err := handshake.NewContext(m, s)
	require.NoError(tb, err)
	return c
}

// secret encodes a credential as the three files of a Secret.
func secret(
	tb testing.TB, ca *authority, leaf *x509.Certificate, key crypto.Signer,
) map[string][]byte {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(tb, err)
	return map[string][]byte{
		"ca.crt":  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw}),
		"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}),
		"tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	}
}
