package credential

import (
	"errors"
	"fmt"
)

// Problem is what was wrong with a file. The set is closed, so it may label rows and metrics.
type Problem string

// The problems of a file.
const (
	Missing      Problem = "missing"       // no such file
	Unreadable   Problem = "unreadable"    // it exists but cannot be read
	Empty        Problem = "empty"         // nothing but white space
	Malformed    Problem = "malformed"     // no PEM block of the kind wanted, or one half-written
	PairMismatch Problem = "pair-mismatch" // the key is of another leaf, under MatchCheck
)

// ReadError is why a credential could not be read. Its text never holds key material.
type ReadError struct {
	File    string // the file's name in Files
	Problem Problem
	Err     error // the cause
}

// Error names the file, the problem and its cause.
func (e *ReadError) Error() string {
	return fmt.Sprintf("read %s: %s: %v", e.File, e.Problem, e.Err)
}

// Unwrap returns the cause.
func (e *ReadError) Unwrap() error { return e.Err }

// The causes that are this package's own. Those about keys are deliberately poor in detail: an
// error of a parser may quote what it parsed.
var (
	errNoBlock     = errors.New("no PEM block")
	errHalfBlock   = errors.New("a PEM block is incomplete or not base64")
	errNoCert      = errors.New("a PEM block is not a certificate")
	errNoKey       = errors.New("no PEM block holds a private key")
	errKeyForm     = errors.New("the private key does not parse as its label says")
	errKeyUnsigned = errors.New("the private key cannot sign")
	errTorn        = errors.New("the private key is not the leaf's")
)
