package sealed

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"io"
	"strings"

	"github.com/certquake/certquake/workloads/keyring"
)

const (
	keySize  = 32
	ivSize   = 12
	tagSize  = 16
	idLenMax = 128
)

// MessagesMax is how many texts may be sealed under one key. With more, the chance that two of them
// have the same random IV exceeds 2^-32, and two such texts give away both plaintexts' difference
// and the means to forge.
const MessagesMax = 1 << 32

// Seal encrypts under a key and returns the text. The IV is read from random: nil means
// crypto/rand, and anything else is for tests, since two texts of one key must never have the same
// IV. The problem of an *Error is BadKey, UnknownKey for the zero Key, or NoIV.
func Seal(key keyring.Key, plaintext []byte, random io.Reader) (string, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return "", err
	}
	if random == nil {
		random = rand.Reader
	}
	iv := make([]byte, ivSize)
	if _, err = io.ReadFull(random, iv); err != nil {
		return "", &Error{Problem: NoIV, KeyID: key.ID, Err: err}
	}
	return text{key.ID, iv, aead.Seal(nil, iv, plaintext, []byte(key.ID))}.String(), nil
}

// Open decrypts a text with the key that it names. The problem of an *Error is Malformed,
// UnknownKey, BadKey or BadCiphertext.
func Open(ring *keyring.Ring, sealed string) ([]byte, error) {
	t, err := parse(sealed)
	if err != nil {
		return nil, err
	}
	key, ok := ring.Key(t.id)
	if !ok {
		return nil, &Error{Problem: UnknownKey, KeyID: t.id, Err: errNoKey}
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, t.iv, t.ciphertext, []byte(t.id))
	if err != nil {
		return nil, &Error{Problem: BadCiphertext, KeyID: t.id, Err: errOpen}
	}
	return plaintext, nil
}

// KeyID returns the id of the key that a text is sealed under, after looking at the form of the
// whole text. The problem of an *Error is Malformed.
func KeyID(sealed string) (string, error) {
	t, err := parse(sealed)
	return t.id, err
}

func newAEAD(key keyring.Key) (cipher.AEAD, error) {
	if key.ID == "" {
		return nil, &Error{Problem: UnknownKey, Err: errNoKey}
	}
	material := key.Symmetric()
	if len(material) != keySize {
		return nil, &Error{Problem: BadKey, KeyID: key.ID, Err: errSize}
	}
	block, err := aes.NewCipher(material)
	if err != nil {
		return nil, &Error{Problem: BadKey, KeyID: key.ID, Err: err}
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, &Error{Problem: BadKey, KeyID: key.ID, Err: err}
	}
	return aead, nil
}

// text is what a sealed text holds.
type text struct {
	id         string
	iv         []byte
	ciphertext []byte // the tag is its end
}

// String returns the text in its one form.
func (t text) String() string {
	code := base64.StdEncoding
	return t.id + ":" + code.EncodeToString(t.iv) + ":" + code.EncodeToString(t.ciphertext)
}

func parse(sealed string) (text, error) {
	malformed := func(err error) (text, error) {
		return text{}, &Error{Problem: Malformed, Err: err}
	}
	id, rest, _ := strings.Cut(sealed, ":")
	ivText, cipherText, ok := strings.Cut(rest, ":")
	if !ok {
		return malformed(errForm)
	}
	if !keyring.ValidID(id) {
		return malformed(errID)
	}
	iv, ok := decode(ivText)
	if !ok {
		return malformed(errBase64)
	}
	ciphertext, ok := decode(cipherText)
	if !ok {
		return malformed(errBase64)
	}
	if len(iv) != ivSize || len(ciphertext) < tagSize {
		return malformed(errSizes)
	}
	return text{id, iv, ciphertext}, nil
}

// decode decodes canonical base64. Go's decoder would skip line ends, and let the last character
// have bits that count for nothing.
func decode(s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	data, err := base64.StdEncoding.Strict().DecodeString(s)
	return data, err == nil
}
