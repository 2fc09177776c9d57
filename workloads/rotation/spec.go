package rotation

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/certquake/certquake/workloads/keyring"
)

// Kind is what sort of secret is generated.
type Kind string

// The kinds of secrets.
const (
	Symmetric Kind = "symmetric" // random bytes
	RSA       Kind = "rsa"
	EC        Kind = "ec"
	Ed25519   Kind = "ed25519"
	Password  Kind = "password" // letters and digits
)

// Curve is the curve of an EC key.
type Curve string

// The curves of EC keys.
const (
	P256 Curve = "P-256"
	P384 Curve = "P-384"
	P521 Curve = "P-521"
)

// Key says what to generate. Fields that are of another Kind must be zero.
type Key struct {
	Kind   Kind  `json:"kind"`
	Bits   int   `json:"bits,omitempty"`   // of an RSA modulus
	Curve  Curve `json:"curve,omitempty"`  // of an EC key
	Length int   `json:"length,omitempty"` // bytes of a symmetric key, characters of a password
}

// Gate is what a step waits for.
type Gate string

// The gates.
const (
	// Time waits for the clock alone. Reports, if there are any, can only hold a step back: a
	// consumer that is silent counts as ready, one that says it is not does not.
	Time Gate = "time"
	// Uptake waits until every consumer reports what the step needs.
	Uptake Gate = "uptake"
)

// IDKind is how the ids of keys are made. All three tell which of two keys is newer.
type IDKind string

// The kinds of ids.
const (
	Counter   IDKind = "counter"   // r1, r2
	Timestamp IDKind = "timestamp" // 20260102T150405Z
	UUID      IDKind = "uuid"      // version 7 of RFC 9562, which begins with the time
)

// Spec is what an owner of a secret asks for.
type Spec struct {
	Generate Key
	// Every is the time between two rotations' beginnings; 0 rotates only when ordered.
	Every time.Duration
	// PromoteAfter is the least time between publishing a key and signing with it. Under Time it
	// is also how long consumers are given to sign with it before data is migrated.
	PromoteAfter time.Duration
	// RetireAfter is the least time between the last signature by a key and its removal. Under
	// Time it runs from the promotion, under Uptake from the first time that all consumers
	// reported the new primary.
	RetireAfter time.Duration
	Gate        Gate
	// UptakeTimeout is how long a late consumer is waited for before the rotation halts. A halt
	// changes no file. It ends when nobody is late any more, or by a Resume order.
	UptakeTimeout time.Duration
	// HoldHalt keeps a halt until a Resume order, even when nobody is late any more.
	HoldHalt bool
	IDs      IDKind
	Prefix   string // of ids
	// Migrate has data moved from the old key to the new one before the old one is removed.
	Migrate bool
}

// WithDefaults returns the Spec with what is zero filled in, but for Every. Ten minutes cover a
// kubelet's slowest sync and a consumer that reads again every five minutes; a day covers tokens
// that live for hours. Decide takes a Spec as it is, so that a driver can ask for a zero.
func (s Spec) WithDefaults() Spec {
	s.Generate.Kind = cmp.Or(s.Generate.Kind, Symmetric)
	switch s.Generate.Kind {
	case Symmetric, Password:
		s.Generate.Length = cmp.Or(s.Generate.Length, 32)
	case RSA:
		s.Generate.Bits = cmp.Or(s.Generate.Bits, 3072)
	case EC:
		s.Generate.Curve = cmp.Or(s.Generate.Curve, P256)
	case Ed25519:
	}
	s.Gate = cmp.Or(s.Gate, Time)
	if s.Gate == Time {
		s.PromoteAfter = cmp.Or(s.PromoteAfter, 10*time.Minute)
	}
	s.RetireAfter = cmp.Or(s.RetireAfter, 24*time.Hour)
	s.UptakeTimeout = cmp.Or(s.UptakeTimeout, time.Hour)
	s.IDs = cmp.Or(s.IDs, Counter)
	if s.IDs == Counter {
		s.Prefix = cmp.Or(s.Prefix, "r")
	}
	return s
}

// prefixMax leaves room for the longest id, a UUID, in the 128 characters of keyring.ValidID.
const prefixMax = 64

// Validate returns everything wrong with the Spec, in the order of its fields. Decide halts on
// what it returns. Whether the times are long enough depends on the consumers: see Margins.
func (s Spec) Validate() []Problem {
	problems := s.Generate.validate()
	add := func(path, what, hint string) {
		problems = append(problems, Problem{InvalidSpec, path, what, hint})
	}
	for _, d := range []struct {
		path  string
		value time.Duration
	}{
		{"every", s.Every},
		{"promoteAfter", s.PromoteAfter},
		{"retireAfter", s.RetireAfter},
	} {
		if d.value < 0 {
			add(d.path, fmt.Sprintf("%v is negative", d.value), "")
		}
	}
	switch s.Gate {
	case Time, Uptake:
	default:
		add("gate", fmt.Sprintf("unknown gate %q", s.Gate), "use time or uptake")
	}
	if s.UptakeTimeout <= 0 {
		add("uptakeTimeout", fmt.Sprintf("%v is no time to wait", s.UptakeTimeout),
			"use a time above 0, such as 1h")
	}
	switch s.IDs {
	case Counter, Timestamp, UUID:
	default:
		add("ids", fmt.Sprintf("unknown kind of id %q", s.IDs), "use counter, timestamp or uuid")
	}
	switch {
	case len(s.Prefix) > prefixMax:
		add("prefix", fmt.Sprintf("longer than %d characters", prefixMax), "")
	case !keyring.ValidID(s.Prefix + "0"):
		add("prefix", fmt.Sprintf("no id can begin with %q", s.Prefix),
			"begin with a letter or digit, go on with letters, digits, -, _ and .")
	case s.IDs == Counter && strings.TrimRight(s.Prefix, digits) != s.Prefix:
		add("prefix", fmt.Sprintf("%q ends in a digit, which the counter would run into", s.Prefix),
			"end it in a letter or -")
	}
	return problems
}

// The alphabets of passwords and ids.
const (
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	digits  = "0123456789"
)

// validate checks that exactly the field of the kind is set, within what is neither weak nor
// wasteful.
func (k Key) validate() []Problem {
	var problems []Problem
	add := func(path, what, hint string) {
		problems = append(problems, Problem{InvalidSpec, "generate." + path, what, hint})
	}
	within := func(path string, value, least, most int) {
		if value < least || value > most {
			add(path, fmt.Sprintf("%d is not within %d and %d", value, least, most), "")
		}
	}
	var bits, curve, length bool
	switch k.Kind {
	case Symmetric:
		length = true
		within("length", k.Length, 16, 1024)
	case Password:
		length = true
		within("length", k.Length, 12, 1024)
	case RSA:
		bits = true
		within("bits", k.Bits, 2048, 8192)
	case EC:
		curve = true
		if k.Curve.curve() == nil {
			add("curve", fmt.Sprintf("unknown curve %q", k.Curve), "use P-256, P-384 or P-521")
		}
	case Ed25519:
	default:
		add("kind", fmt.Sprintf("unknown kind %q", k.Kind),
			"use symmetric, rsa, ec, ed25519 or password")
		return problems
	}
	if !bits && k.Bits != 0 {
		add("bits", fmt.Sprintf("means nothing for %s", k.Kind), "remove it")
	}
	if !curve && k.Curve != "" {
		add("curve", fmt.Sprintf("means nothing for %s", k.Kind), "remove it")
	}
	if !length && k.Length != 0 {
		add("length", fmt.Sprintf("means nothing for %s", k.Kind), "remove it")
	}
	return problems
}
