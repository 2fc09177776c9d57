package kube

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/cert-manager/cert-manager/pkg/util/pki"

	"github.com/certquake/certquake/scenarios"
)

// errNoKey is of a CA whose key was never seen in a Secret.
var errNoKey = errors.New("the key of the CA is not in its Secret")

// keyOf returns the private key of a CA that the Secret held.
func (s *secret) keyOf(ca *x509.Certificate) (crypto.Signer, error) {
	for _, c := range s.history {
		if !c.deleted && !c.torn && c.certs[0].Equal(ca) {
			return pki.DecodePrivateKeyBytes(c.object.Data[keyKey])
		}
	}
	return nil, errNoKey
}

// signerOf returns the newest CA that the Secret held and that signed the certificate. Without one
// it returns the newest of all, nil if there is none.
func (s *secret) signerOf(cert *x509.Certificate) *x509.Certificate {
	if s == nil {
		return nil
	}
	for _, c := range slices.Backward(s.history) {
		if !c.deleted && !c.torn && signed(c.certs[0], cert) {
			return c.certs[0]
		}
	}
	if c := s.paired(); c != nil {
		return c.certs[0]
	}
	return nil
}

// crossSign returns the authority's newest certificate as the last of the CAs before it would have
// signed it: same subject, same key, other issuer. The caller holds the lock.
func (l *ledger) crossSign(authority *secret, trusted []*x509.Certificate) ([]byte, error) {
	newest := authority.paired()
	if newest == nil {
		return nil, errNoKey
	}
	current := newest.certs[0]
	var previous *x509.Certificate
	for _, ca := range trusted {
		if !ca.Equal(current) {
			previous = ca
		}
	}
	if previous == nil {
		return nil, nil
	}
	key, err := authority.keyOf(previous)
	if err != nil {
		return nil, err
	}
	template, err := again(current)
	if err != nil {
		return nil, err
	}
	template.NotBefore, template.NotAfter = current.NotBefore, current.NotAfter
	data, err := x509.CreateCertificate(rand.Reader, template, previous, current.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	if cert, err := x509.ParseCertificate(data); err == nil {
		l.names.add(cert, l.names.other(current).name+"x").cross = true
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: data}), nil
}

// again returns a template for another certificate like the given one, with a new serial number.
func again(cert *x509.Certificate) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: serial, RawSubject: cert.RawSubject, Subject: cert.Subject,
		KeyUsage: cert.KeyUsage, ExtKeyUsage: cert.ExtKeyUsage,
		BasicConstraintsValid: cert.BasicConstraintsValid, IsCA: cert.IsCA,
		MaxPathLen: cert.MaxPathLen, MaxPathLenZero: cert.MaxPathLenZero,
		SubjectKeyId: cert.SubjectKeyId, DNSNames: cert.DNSNames, IPAddresses: cert.IPAddresses,
		URIs: cert.URIs, EmailAddresses: cert.EmailAddresses,
	}, nil
}

// anotherKey returns a new key of the same kind.
func anotherKey(like crypto.PublicKey) (crypto.Signer, error) {
	switch like := like.(type) {
	case *rsa.PublicKey:
		return rsa.GenerateKey(rand.Reader, like.Size()*8)
	case *ecdsa.PublicKey:
		return ecdsa.GenerateKey(like.Curve, rand.Reader)
	case ed25519.PublicKey:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("no key like %T can be made", like)
}

// strangeLeaf returns tls.crt of a Secret with a leaf of another key in front, signed by the same
// CA. The caller holds the lock.
func (l *ledger) strangeLeaf(s *secret, issuer *secret) ([]byte, error) {
	old := s.current().certs[0]
	fresh, err := anotherKey(old.PublicKey)
	if err != nil {
		return nil, err
	}
	template, err := again(old)
	if err != nil {
		return nil, err
	}
	template.SubjectKeyId = nil
	// By the clock that dated the old one, not the harness's: else it may not be valid yet.
	template.NotBefore, template.NotAfter = old.NotBefore, old.NotAfter
	parent, signer := template, fresh
	if ca := issuer.signerOf(old); ca != nil {
		parent = ca
		if signer, err = issuer.keyOf(parent); err != nil {
			return nil, err
		}
	}
	data, err := x509.CreateCertificate(rand.Reader, template, parent, fresh.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	cert, err := x509.ParseCertificate(data)
	if err != nil {
		return nil, err
	}
	l.names.add(cert, l.names.other(old).name+"'")
	return file(append([]*x509.Certificate{cert}, s.current().certs[1:]...)), nil
}

// tearPairs writes a new leaf into tls.crt but leaves the old tls.key.
func (w *world) tearPairs(ctx context.Context, action scenarios.Action) error {
	for _, name := range action.Secrets {
		w.ledger.mu.Lock()
		s := w.ledger.secrets[name]
		if s.current() == nil {
			w.ledger.mu.Unlock()
			continue
		}
		certificate := w.plan.World.CertificateOf(name)
		authority := w.plan.World.AuthorityOf(scenarios.IssuerOf(certificate))
		chain, err := w.ledger.strangeLeaf(s, w.ledger.secrets[authority])
		seen := len(s.history)
		w.ledger.mu.Unlock()
		if err != nil {
			return fmt.Errorf("a leaf for %s: %w", name, err)
		}
		err = w.patch(ctx, name, func(*content) map[string][]byte {
			return map[string][]byte{certKey: chain}
		})
		if err != nil {
			return err
		}
		err = w.awaitSecrets(ctx, func() bool {
			for _, c := range s.history[seen:] {
				if c.torn {
					return true
				}
			}
			return false
		})
		if err != nil {
			return err
		}
		w.ledger.prove(action.ID, name, "tls.key is not the key of tls.crt", time.Now())
	}
	return nil
}

// restorePairs writes the last matching pair back, unless there is a matching one.
func (w *world) restorePairs(ctx context.Context, action scenarios.Action) error {
	for _, name := range action.Secrets {
		err := w.patch(ctx, name, func(c *content) map[string][]byte {
			last := w.ledger.secrets[name].paired()
			if !c.torn || last == nil {
				return nil
			}
			return map[string][]byte{
				caKey: last.object.Data[caKey], certKey: last.object.Data[certKey],
				keyKey: last.object.Data[keyKey],
			}
		})
		if err != nil {
			return err
		}
		err = w.awaitSecrets(ctx, func() bool {
			c := w.ledger.secrets[name].current()
			return c != nil && !c.torn
		})
		if err != nil {
			return err
		}
		w.ledger.prove(action.ID, name, "tls.crt and tls.key match again", time.Now())
	}
	return nil
}
