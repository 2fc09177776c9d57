package rotation

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
)

// drawsMax bounds how often a value that does not fit is drawn again. For the worst curve two
// draws of a good reader fail together once in 2^32; a reader that is stuck must not hang us.
const drawsMax = 64

var (
	errStuck   = errors.New("the source of randomness gives nothing that fits")
	errUnknown = errors.New("unknown kind of key")
)

// Generate makes a key from random bytes. The same bytes make the same key, but for RSA: Go draws
// an RSA key from the system whatever the reader. It goes around the GenerateKey functions of EC
// and Ed25519 keys for that reason. No error holds key material.
func Generate(key Key, random io.Reader) (Material, error) {
	var material Material
	var err error
	switch key.Kind {
	case Symmetric:
		material, err = symmetric(key.Length, random)
	case Password:
		material, err = password(key.Length, random)
	case RSA:
		var private *rsa.PrivateKey
		if private, err = rsa.GenerateKey(random, key.Bits); err == nil {
			material, err = pair(private)
		}
	case EC:
		var private *ecdsa.PrivateKey
		if private, err = ecKey(key.Curve, random); err == nil {
			material, err = pair(private)
		}
	case Ed25519:
		seed := make([]byte, ed25519.SeedSize)
		if _, err = io.ReadFull(random, seed); err == nil {
			material, err = pair(ed25519.NewKeyFromSeed(seed))
		}
	default:
		err = errUnknown
	}
	if err != nil {
		return nil, fmt.Errorf("generate a key of kind %q: %w", key.Kind, err)
	}
	return material, nil
}

func symmetric(length int, random io.Reader) (Material, error) {
	secret := make([]byte, length)
	if _, err := io.ReadFull(random, secret); err != nil {
		return nil, err
	}
	return Material{SecretPart: secret}, nil
}

// password draws characters of one alphabet, each as likely as any other: bytes beyond the last
// whole multiple of the alphabet are drawn again.
func password(length int, random io.Reader) (Material, error) {
	const alphabet = letters + digits
	const fair = 256 / len(alphabet) * len(alphabet)
	secret := make([]byte, 0, length)
	drawn := make([]byte, length)
	for range drawsMax {
		if _, err := io.ReadFull(random, drawn); err != nil {
			return nil, err
		}
		for _, b := range drawn {
			if int(b) < fair && len(secret) < length {
				secret = append(secret, alphabet[int(b)%len(alphabet)])
			}
		}
		if len(secret) == length {
			return Material{PasswordPart: secret}, nil
		}
	}
	return nil, errStuck
}

// curve returns the curve of that name, or nil.
func (c Curve) curve() elliptic.Curve {
	switch c {
	case P256:
		return elliptic.P256()
	case P384:
		return elliptic.P384()
	case P521:
		return elliptic.P521()
	}
	return nil
}

// ecKey draws a private key until it is below the order of its curve, which keeps all as likely
// (FIPS 186-5, A.2.2).
func ecKey(name Curve, random io.Reader) (*ecdsa.PrivateKey, error) {
	curve := name.curve()
	if curve == nil {
		return nil, errUnknown
	}
	bits := curve.Params().BitSize
	raw := make([]byte, (bits+7)/8)
	for range drawsMax {
		if _, err := io.ReadFull(random, raw); err != nil {
			return nil, err
		}
		raw[0] >>= len(raw)*8 - bits
		if private, err := ecdsa.ParseRawPrivateKey(curve, raw); err == nil {
			return private, nil
		}
	}
	return nil, errStuck
}

// pair encodes both halves of a key.
func pair(private crypto.Signer) (Material, error) {
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, err
	}
	return Material{
		PrivatePart: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
		PublicPart:  pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
	}, nil
}
