package password

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"github.com/certquake/certquake/workloads/keyring"
)

// Part is the part of a key that is its password, for keyring.Settings.
const Part keyring.Part = "password"

const (
	nameLenMax     = 63 // NAMEDATALEN - 1
	passwordLenMax = 1024
	saltSize       = 16
	// iterations is what PostgreSQL itself uses. RFC 7677 asks for 4096 at least.
	iterations = 4096
)

// Check returns an error if a key of a ring is not a user and its password. As the Check of
// keyring.Settings it refuses the ring with such a key, so that the last good one stays in use. The
// error quotes nothing.
func Check(key keyring.Key) error {
	if err := checkName(key.ID); err != nil {
		return err
	}
	return checkPassword(key.Bytes(Part))
}

// checkName refuses what the server would cut off or has reserved.
func checkName(name string) error {
	if name == "" || len(name) > nameLenMax || strings.Contains(name, "\x00") ||
		strings.HasPrefix(name, "pg_") || name == "none" || name == "public" {
		return &RoleError{Problem: BadName, Role: name, Err: errName}
	}
	return nil
}

// checkPassword keeps passwords to what SASLprep (RFC 4013) leaves as it is. Beyond ASCII, what is
// hashed depends on the tables of Unicode that a client has.
func checkPassword(password []byte) error {
	switch {
	case password == nil:
		return &RoleError{Problem: BadPassword, Err: errNoPart}
	case len(password) == 0 || len(password) > passwordLenMax:
		return &RoleError{Problem: BadPassword, Err: errEmpty}
	}
	for _, c := range password {
		if c < ' ' || c > '~' {
			return &RoleError{Problem: BadPassword, Err: errASCII}
		}
	}
	return nil
}

// Verifier returns what PostgreSQL keeps of a password, and takes in place of it: the keys of
// SCRAM-SHA-256 (RFC 5803, RFC 7677) under a salt of 16 bytes that is read from random. Whoever has
// it can check a login, and cannot log in. The same password has another one each time.
//
//	SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>
func Verifier(password []byte, random io.Reader) (string, error) {
	if err := checkPassword(password); err != nil {
		return "", err
	}
	salt := make([]byte, saltSize)
	if _, err := io.ReadFull(random, salt); err != nil {
		return "", fmt.Errorf("draw the salt of a password: %w", err)
	}
	salted, err := pbkdf2.Key(sha256.New, string(password), salt, iterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	stored := sha256.Sum256(mac(salted, "Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s",
		iterations, encode(salt), encode(stored[:]), encode(mac(salted, "Server Key"))), nil
}

func mac(key []byte, text string) []byte {
	hash := hmac.New(sha256.New, key)
	hash.Write([]byte(text))
	return hash.Sum(nil)
}
