package keyring

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
)

// add takes a part's file in. All that has a public key must have the same.
func (m *material) add(part Part, data []byte) error {
	m.raw[part] = data
	var public crypto.PublicKey
	var err error
	switch part {
	case Private:
		if m.signer, err = parsePrivate(data); err == nil {
			public = m.signer.Public()
		}
	case Public:
		public, err = parsePublic(data)
	case Certificate:
		if m.certificate, err = parseCertificate(data); err == nil {
			public = m.certificate.PublicKey
		}
	case Symmetric:
	}
	if err != nil || opaque(part) {
		return err
	}
	return m.match(public)
}

func (m *material) match(public crypto.PublicKey) error {
	spki, err := x509.MarshalPKIXPublicKey(public)
	switch {
	case err != nil:
		return errPublic // a kind of key that Go parses but cannot write: DSA
	case m.spki == nil:
		m.public, m.spki = public, spki
	case !bytes.Equal(m.spki, spki):
		return errDiffer
	}
	return nil
}

// parsePrivate parses a file of one private key. The EC PARAMETERS that openssl writes before an EC
// key are skipped.
func parsePrivate(data []byte) (crypto.Signer, error) {
	found, err := blocks(data)
	if err != nil {
		return nil, err
	}
	if len(found) == 2 && found[0].Type == "EC PARAMETERS" {
		found = found[1:]
	}
	if len(found) != 1 {
		return nil, errPrivate
	}
	var key any
	switch found[0].Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(found[0].Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(found[0].Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(found[0].Bytes)
	}
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, errPrivate
	}
	return signer, nil
}

func parsePublic(data []byte) (crypto.PublicKey, error) {
	found, err := blocks(data)
	if err != nil {
		return nil, err
	}
	if len(found) != 1 || found[0].Type != "PUBLIC KEY" {
		return nil, errPublic
	}
	key, err := x509.ParsePKIXPublicKey(found[0].Bytes)
	if err != nil {
		return nil, errPublic
	}
	return key, nil
}

// parseCertificate returns the first certificate of a file in which every block must be one.
func parseCertificate(data []byte) (*x509.Certificate, error) {
	found, err := blocks(data)
	if err != nil {
		return nil, err
	}
	var first *x509.Certificate
	for _, block := range found {
		cert, parseErr := x509.ParseCertificate(block.Bytes)
		if parseErr != nil || block.Type != "CERTIFICATE" {
			return nil, errCert
		}
		if first == nil {
			first = cert
		}
	}
	if first == nil {
		return nil, errCert
	}
	return first, nil
}

// blocks returns the PEM blocks of a file; text around them is skipped. pem.Decode alone would skip
// a damaged block in silence and return the one after it.
func blocks(data []byte) ([]*pem.Block, error) {
	begin := []byte("-----BEGIN")
	var found []*pem.Block
	for {
		at := bytes.Index(data, begin)
		if at < 0 {
			return found, nil
		}
		data = data[at:]
		block, rest := pem.Decode(data)
		if block == nil || bytes.Count(data[:len(data)-len(rest)], begin) != 1 {
			return nil, errHalfBlock
		}
		found, data = append(found, block), rest
	}
}
