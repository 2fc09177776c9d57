package keyring

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"log/slog"
	"maps"
)

// Key is one key of a ring: its id and its material. The zero Key has no material.
//
// The material is where reflection does not reach, so whatever prints, logs or encodes a Key, or a
// value that holds one, shows the id at most.
type Key struct {
	ID     string           `json:"id"`
	secret func() *material // a closure, and not a pointer, because nothing can look into it
}

// material is what was read of a key. It does not change.
type material struct {
	file        string          // the name of the file of its first part
	raw         map[Part][]byte // what the files hold
	signer      crypto.Signer
	public      crypto.PublicKey
	spki        []byte // public in its one encoding
	certificate *x509.Certificate
}

// Symmetric returns a copy of what <id>.key holds: every byte, a line's end too. It is nil if that
// part was not wanted.
func (k Key) Symmetric() []byte { return k.Bytes(Symmetric) }

// Bytes returns a copy of what the file of a part holds, or nil if that part was not wanted.
func (k Key) Bytes(part Part) []byte { return bytes.Clone(k.material().raw[part]) }

// Signer returns the private key, or nil without a Private part. It is safe for concurrent use.
func (k Key) Signer() crypto.Signer { return k.material().signer }

// Public returns the public key, from whichever part has it, or nil if none has. It must not be
// changed.
func (k Key) Public() crypto.PublicKey { return k.material().public }

// Certificate returns the certificate, or nil without a Certificate part. It must not be changed.
func (k Key) Certificate() *x509.Certificate { return k.material().certificate }

// String returns the id.
func (k Key) String() string { return k.ID }

// LogValue returns the id.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.ID) }

func (k Key) material() *material {
	if k.secret == nil {
		return &material{}
	}
	return k.secret()
}

// equal reports whether two keys were read from files that hold the same bytes.
func (m *material) equal(other *material) bool {
	return m.file == other.file && maps.EqualFunc(m.raw, other.raw, bytes.Equal)
}

// sameKey reports whether two materials are one key, in whatever encoding.
func (m *material) sameKey(other *material) bool {
	if !bytes.Equal(m.spki, other.spki) ||
		!bytes.Equal(m.rawCertificate(), other.rawCertificate()) {
		return false
	}
	for part, data := range m.raw {
		if opaque(part) && !bytes.Equal(data, other.raw[part]) {
			return false
		}
	}
	return true
}

func (m *material) rawCertificate() []byte {
	if m.certificate == nil {
		return nil
	}
	return m.certificate.Raw
}

// opaque reports whether a part is bytes that nobody parses.
func opaque(part Part) bool { return part != Private && part != Public && part != Certificate }
