package sealed

import (
	"errors"
	"fmt"
)

// Problem is why something could not be done. The set is closed, so it may label metrics.
type Problem string

// The problems of a text.
const (
	Malformed     Problem = "malformed"      // not <keyid>:<base64 iv>:<base64 ciphertext>
	UnknownKey    Problem = "unknown-kid"    // the ring has no key of this id
	BadKey        Problem = "bad-key"        // the key of this id has not 32 bytes
	BadCiphertext Problem = "bad-ciphertext" // it was changed, or sealed with another key
	NoIV          Problem = "no-iv"          // the source of randomness failed
)

// The problems of a store.
const (
	NotFound  Problem = "not-found"  // no such record
	BadRecord Problem = "bad-record" // not an id of a record
	Retired   Problem = "retired"    // the store takes no text under this key any more
	InUse     Problem = "in-use"     // records are left under this key
	Primary   Problem = "primary"    // the key to migrate from is the one to seal with
	Storage   Problem = "storage"    // the file: its disk, its lock, its content
)

// Error is why a text or a store could not be used. It never holds key material, plaintext or the
// id of a record.
type Error struct {
	Problem Problem
	KeyID   string // of the key concerned; "" when it is about none, or the text names none
	Err     error  // the cause
}

// Error names the key, the problem and its cause.
func (e *Error) Error() string {
	if e.KeyID == "" {
		return fmt.Sprintf("%s: %v", e.Problem, e.Err)
	}
	return fmt.Sprintf("key %q: %s: %v", e.KeyID, e.Problem, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// The causes that are this package's own. They quote nothing: a text may be a plaintext that was
// never sealed.
var (
	errForm   = errors.New("want <keyid>:<base64 iv>:<base64 ciphertext>")
	errID     = errors.New("a key's id is a letter or digit and up to 127 more or any of . _ -")
	errBase64 = errors.New("want standard base64 with padding, and nothing in between")
	errSizes  = errors.New("want an iv of 12 bytes, and a ciphertext of 16 at least")
	errNoKey  = errors.New("the ring has no key of this id: it was dropped, or has not got here")
	errSize   = errors.New("want exactly 32 bytes: a line's end counts")
	errOpen   = errors.New("it was changed after it was sealed, or sealed with another key")
	errRecord = errors.New("an id of a record has 1 to 1024 bytes")
	errNone   = errors.New("the store has no record of this id")
	errFence  = errors.New("it is retired: read the keys again, and seal with the primary one")
	errTarget = errors.New("it is the primary key, so records would stay under it")
	errHeld   = errors.New("another process has it open: a store is one process's at a time")
	errFile   = errors.New("the file does not hang together: restore it from a copy")
)

// storage makes an *Error of what the database says. An *Error stays as it is.
func storage(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	return &Error{Problem: Storage, Err: err}
}
