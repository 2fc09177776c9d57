package sim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
)

// keyAlgorithm is a key type and size.
type keyAlgorithm string

const (
	rsa2048 keyAlgorithm = "rsa-2048"
	rsa3072 keyAlgorithm = "rsa-3072"
	rsa4096 keyAlgorithm = "rsa-4096"
	rsa8192 keyAlgorithm = "rsa-8192"
	p256    keyAlgorithm = "ecdsa-256"
	p384    keyAlgorithm = "ecdsa-384"
	p521    keyAlgorithm = "ecdsa-521"
	edwards keyAlgorithm = "ed25519"
)

// algorithmOf returns the key type that cert-manager gives the Certificate's keys.
func algorithmOf(crt *certmanager.Certificate) keyAlgorithm {
	private := crt.Spec.PrivateKey
	if private == nil {
		return rsa2048
	}
	switch private.Algorithm {
	case certmanager.Ed25519KeyAlgorithm:
		return edwards
	case certmanager.ECDSAKeyAlgorithm:
		switch private.Size {
		case 384:
			return p384
		case 521:
			return p521
		default:
			return p256
		}
	case certmanager.RSAKeyAlgorithm:
		fallthrough
	default:
		switch {
		case private.Size > 4096:
			return rsa8192
		case private.Size > 3072:
			return rsa4096
		case private.Size > 2048:
			return rsa3072
		default:
			return rsa2048
		}
	}
}

func (a keyAlgorithm) generate() (crypto.Signer, error) {
	switch a {
	case p256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case p384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case p521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case edwards:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	case rsa2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case rsa3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	case rsa4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	case rsa8192:
		return rsa.GenerateKey(rand.Reader, 8192)
	}
	return nil, fmt.Errorf("unknown key algorithm %q", a)
}

// keyPool keeps real keys for reuse: a verdict depends on which keys are equal, not on their bits,
// and an RSA key costs a tenth of a second.
type keyPool map[keyAlgorithm][]crypto.Signer

// get returns the nth key of the algorithm, making it at first use.
func (p keyPool) get(algorithm keyAlgorithm, n int) (crypto.Signer, error) {
	for len(p[algorithm]) <= n {
		fresh, err := algorithm.generate()
		if err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		p[algorithm] = append(p[algorithm], fresh)
	}
	return p[algorithm][n], nil
}

// mint turns symbols into PEM for one execution. Equal symbols give equal bytes within it.
type mint struct {
	pool  keyPool
	start time.Time // of offset 0
	keys  map[*key]crypto.Signer
	used  map[keyAlgorithm]int
	certs map[*cert]*x509.Certificate
}

func newMint(pool keyPool, start time.Time) *mint {
	return &mint{
		pool: pool, start: start, keys: map[*key]crypto.Signer{},
		used: map[keyAlgorithm]int{}, certs: map[*cert]*x509.Certificate{},
	}
}

// files returns the content as the files of a Secret volume.
func (m *mint) files(c *content) (map[string][]byte, error) {
	chain, err := m.pem(c.certs)
	if err != nil {
		return nil, err
	}
	cas, err := m.pem(c.cas)
	if err != nil {
		return nil, err
	}
	private, err := m.key(c.key)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return map[string][]byte{
		"tls.crt": chain, "ca.crt": cas,
		"tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	}, nil
}

func (m *mint) pem(certs []*cert) ([]byte, error) {
	var out []byte
	for _, c := range certs {
		made, err := m.cert(c)
		if err != nil {
			return nil, err
		}
		out = append(out, pem.EncodeToMemory(
			&pem.Block{Type: "CERTIFICATE", Bytes: made.Raw})...)
	}
	return out, nil
}

func (m *mint) key(k *key) (crypto.Signer, error) {
	if made, ok := m.keys[k]; ok {
		return made, nil
	}
	made, err := m.pool.get(k.algorithm, m.used[k.algorithm])
	if err != nil {
		return nil, err
	}
	m.used[k.algorithm]++
	m.keys[k] = made
	return made, nil
}

func (m *mint) cert(c *cert) (*x509.Certificate, error) {
	if made, ok := m.certs[c]; ok {
		return made, nil
	}
	own, err := m.key(c.key)
	if err != nil {
		return nil, err
	}
	tmpl := c.template.x509
	tmpl.SerialNumber = big.NewInt(int64(c.id))
	tmpl.NotBefore, tmpl.NotAfter = m.start.Add(c.notBefore), m.start.Add(c.notAfter)
	parent, signer := &tmpl, own
	if !c.root() {
		if parent, err = m.cert(c.issuer); err != nil {
			return nil, err
		}
		if signer, err = m.key(c.issuer.key); err != nil {
			return nil, err
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, &tmpl, parent, own.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("mint %s: %w", c.name, err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read back %s: %w", c.name, err)
	}
	m.certs[c] = made
	return made, nil
}
