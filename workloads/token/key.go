package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"

	"github.com/certquake/certquake/workloads/keyring"
)

const (
	kidLenMax     = 128
	kidForm       = "letters, digits and . _ -, no . in front, 128 at most"
	secretLenMin  = 32
	modulusBitMin = 2048
	modulusBitMax = 8192 // a larger one makes verifying a way to wear out a verifier
)

// validKid keeps ids to what is the same in file names, headers and logs. All ids of key rings are
// valid, and so are thumbprints (RFC 7638), which may begin with a dash.
func validKid(kid string) bool {
	if kid == "" || len(kid) > kidLenMax || kid[0] == '.' {
		return false
	}
	for i := range len(kid) {
		if c := kid[i]; !alphanumeric(c) && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// Check returns an error if a key does not fit the algorithm or is too weak. As the Check of
// keyring.Settings it refuses the ring with such a key, so that the last good ring stays in use.
func (a Algorithm) Check(key keyring.Key) error {
	_, err := a.verifying(key)
	return err
}

// verifying returns the key to verify with, in go-jose's type for it.
func (a Algorithm) verifying(key keyring.Key) (any, error) {
	if !a.Symmetric() {
		public := key.Public()
		return public, a.fits(public)
	}
	secret := key.Symmetric()
	if len(secret) < secretLenMin {
		return nil, errShort
	}
	return secret, nil
}

// signing returns the key to sign with, in go-jose's type for it.
func (a Algorithm) signing(key keyring.Key) (any, error) {
	verifying, err := a.verifying(key)
	switch {
	case err != nil:
		return nil, err
	case a.Symmetric():
		return verifying, nil
	}
	if signer := key.Signer(); signer != nil {
		return signer, nil
	}
	return nil, errNoPrivate
}

// fits returns an error unless the public key is one of the algorithm, and strong enough.
func (a Algorithm) fits(public crypto.PublicKey) error {
	switch a {
	case RS256:
		key, ok := public.(*rsa.PublicKey)
		if !ok || key.N.BitLen() < modulusBitMin || key.N.BitLen() > modulusBitMax ||
			key.E < 3 || key.E%2 == 0 {
			return errRSA
		}
	case ES256:
		if key, ok := public.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
			return errEC
		}
	case EdDSA:
		if key, ok := public.(ed25519.PublicKey); !ok || len(key) != ed25519.PublicKeySize {
			return errEd
		}
	case HS256:
		return errSecret
	}
	return nil
}
