package keyring

import (
	"errors"
	"fmt"
)

// Problem is what was wrong with a folder of keys. The set is closed, so it may label metrics.
type Problem string

// The problems of a folder of keys.
const (
	Missing      Problem = "missing"       // no such folder, or a key lacks a part
	Unreadable   Problem = "unreadable"    // it exists but cannot be read
	Empty        Problem = "empty"         // a folder without keys, or a file of white space
	BadID        Problem = "bad-id"        // the name holds a part but no valid id
	BadKey       Problem = "bad-key"       // it does not parse, its parts differ, Check refused it
	Clash        Problem = "clash"         // a part of an id twice, or ids that differ only by case
	Reused       Problem = "reused"        // an id of the last good ring, now of another key
	NoPrimary    Problem = "no-primary"    // no key is marked
	TwoPrimaries Problem = "two-primaries" // more than one is
)

// ReadError is why a folder of keys could not be read. It never holds key material.
type ReadError struct {
	File    string // its name in the folder; "." for the folder as a whole
	ID      string // of the key concerned; "" when it is about no one key
	Problem Problem
	Err     error // the cause
}

// Error names the file, the problem and its cause.
func (e *ReadError) Error() string {
	return fmt.Sprintf("read %q: %s: %v", e.File, e.Problem, e.Err)
}

// Unwrap returns the cause.
func (e *ReadError) Unwrap() error { return e.Err }

// The causes that are this package's own. What parsers say is withheld: it may quote what they
// parsed.
var (
	errNoFile = errors.New("the key lacks this part: every id needs each part")
	errNoKeys = errors.New("no file is called <id>.<part>, with a part that is wanted")
	errBlank  = errors.New("nothing but white space")
	errID     = errors.New("an id is a letter or digit and up to 127 more or any of . _ -, " +
		"and does not end in .primary")
	errMoving    = errors.New("the volume was swapped during every try")
	errNoPrimary = errors.New("mark one key: <id>.<part>.primary")
	errHalfBlock = errors.New("a PEM block is incomplete or not base64")
	errPrivate   = errors.New("want one PEM block with an unencrypted private key that can sign")
	errPublic    = errors.New("want one PEM block PUBLIC KEY (PKIX)")
	errCert      = errors.New("want PEM blocks CERTIFICATE and no others")
	errDiffer    = errors.New("private key, public key and certificate are not of one pair")
	errReused    = errors.New("the key of this id has changed: give the new key a new id")
)
