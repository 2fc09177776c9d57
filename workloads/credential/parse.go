package credential

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
)

// parseCerts returns the certificates of a PEM file: the first block alone, or every block.
//
// It follows Java's CertificateFactory. The first form looks no further than the first block, which
// must be whole and a certificate. The second fails on any block that is half-written, at the end
// of a truncated file too, or that is no certificate; text between blocks is skipped. A file that
// lost whole blocks is not noticed: it is a shorter bundle. Unlike Java, DER is not accepted.
func parseCerts(data []byte, all bool) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		block, rest, err := nextBlock(data)
		if err != nil {
			return nil, err
		}
		if block == nil {
			break
		}
		cert, err := parseCert(block)
		if err != nil {
			return nil, err
		}
		certs, data = append(certs, cert), rest
		if !all {
			break
		}
	}
	if len(certs) == 0 {
		return nil, errNoBlock
	}
	return certs, nil
}

// nextBlock returns the first PEM block and what follows it, or nil where no block begins.
// pem.Decode alone would skip a damaged block in silence and return the one after it.
func nextBlock(data []byte) (block *pem.Block, rest []byte, err error) {
	begin := []byte("-----BEGIN")
	at := bytes.Index(data, begin)
	if at < 0 {
		return nil, nil, nil
	}
	data = data[at:]
	block, rest = pem.Decode(data)
	if block == nil || bytes.Count(data[:len(data)-len(rest)], begin) != 1 {
		return nil, nil, errHalfBlock
	}
	return block, rest, nil
}

func parseCert(block *pem.Block) (*x509.Certificate, error) {
	if block.Type != "CERTIFICATE" {
		return nil, errNoCert
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoCert, err)
	}
	return cert, nil
}

// parseKey returns the first private key of a PEM file. Blocks before it, such as the EC PARAMETERS
// that openssl writes, are skipped.
func parseKey(data []byte) (crypto.Signer, error) {
	for {
		block, rest, err := nextBlock(data)
		switch {
		case err != nil:
			return nil, err
		case block == nil:
			return nil, errNoKey
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return parseKeyBlock(block)
		}
		data = rest
	}
}

func parseKeyBlock(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return nil, errNoKey
	}
	if err != nil {
		return nil, errKeyForm // its own text is withheld, see errKeyForm
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errKeyUnsigned
	}
	return signer, nil
}
