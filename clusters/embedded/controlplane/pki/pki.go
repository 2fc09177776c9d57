// Package pki makes the certificates of one cluster: call [New] for the authority, then
// [Authority.Issue] for each component and [Authority.Kubeconfig] for each client. Everything
// is written below one folder that lives as long as the cluster.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime outlasts any run; rotation of the control plane's own certificates is no subject.
const lifetime = 10 * 365 * 24 * time.Hour

// Authority signs the certificates of one cluster.
type Authority struct {
	dir  string
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

// Identity is what a certificate says: who its holder is and where it serves.
type Identity struct {
	Name   string // base name of the files
	Common string
	Groups []string
	Hosts  []string // DNS names and addresses
}

// New makes the authority and the key pair of the service account tokens below dir.
func New(dir string) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make authority key: %w", err)
	}
	template := certificate("certquake-embedded-ca", nil)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign authority: %w", err)
	}
	a := &Authority{dir: dir, key: key, pem: encode("CERTIFICATE", der)}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("read back authority: %w", err)
	}
	if err := os.WriteFile(a.Path("ca.crt"), a.pem, 0o600); err != nil {
		return nil, err
	}
	return a, a.serviceAccountKey()
}

// Path returns where the named file of the authority lies.
func (a *Authority) Path(name string) string { return filepath.Join(a.dir, name) }

// Issue writes NAME.crt and NAME.key, good for serving and for dialling.
func (a *Authority) Issue(id Identity) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("issue %s: %w", id.Name, err)
	}
	template := certificate(id.Common, id.Groups)
	for _, host := range id.Hosts {
		if address := net.ParseIP(host); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("issue %s: %w", id.Name, err)
	}
	if err := os.WriteFile(a.Path(id.Name+".crt"), encode("CERTIFICATE", der), 0o600); err != nil {
		return err
	}
	return a.writeKey(id.Name+".key", key)
}

func (a *Authority) serviceAccountKey() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make service account key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encode service account key: %w", err)
	}
	if err := os.WriteFile(a.Path("sa.pub"), encode("PUBLIC KEY", public), 0o600); err != nil {
		return err
	}
	return a.writeKey("sa.key", key)
}

// writeKey uses SEC 1: the token signer of the API server reads no PKCS #8 EC keys everywhere.
func (a *Authority) writeKey(name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return os.WriteFile(a.Path(name), encode("EC PRIVATE KEY", der), 0o600)
}

func certificate(common string, groups []string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetInt64(now.UnixNano()),
		Subject:      pkix.Name{CommonName: common, Organization: groups},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{
			x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth,
		},
	}
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
