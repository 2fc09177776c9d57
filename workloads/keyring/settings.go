package keyring

import (
	"slices"
	"time"
)

// Part is the word of a file's name that says what of a key is in it. A part of another name than
// those below is bytes, as Symmetric is: a password, say.
type Part string

// The parts that the convention names.
const (
	Symmetric   Part = "key"     // any bytes, exactly as in the file
	Private     Part = "private" // a PEM private key: PKCS#8, PKCS#1 or SEC 1
	Public      Part = "public"  // a PEM public key: PKIX
	Certificate Part = "crt"     // a PEM certificate, its chain behind it if there is one
)

const (
	// Never as TTL reads once, as a program does that reads its keys when it starts: it never sees
	// a rotation.
	Never time.Duration = -1
	// DefaultTTL is how old a read may be before a demand reads again.
	DefaultTTL = 5 * time.Minute
	// DefaultRetry is how long a failed read keeps demands from reading again.
	DefaultRetry = time.Second
)

// Settings say what to read and when. The zero value reads symmetric keys every five minutes.
type Settings struct {
	// Parts are what each key must have here; none means Symmetric alone. A part that is not among
	// them is not even read, so those who verify ask for Public alone.
	Parts []Part
	// TTL is how old a read may be before a demand reads again: DefaultTTL if 0, Never if negative.
	TTL time.Duration
	// Retry is how long a failed read keeps demands from reading again: DefaultRetry if 0, or TTL
	// if that is shorter. If negative, every demand reads after a failure.
	Retry time.Duration
	// Now is the clock; nil means the system's.
	Now func() time.Time
	// Check refuses a key by an error, one too short for its use for example. The error becomes the
	// cause of a ReadError, so it must not quote the key. Nil accepts every key.
	Check func(Key) error
}

func (s Settings) orDefault() Settings {
	s.Parts = slices.Clone(s.Parts)
	if len(s.Parts) == 0 {
		s.Parts = []Part{Symmetric}
	}
	if s.TTL == 0 {
		s.TTL = DefaultTTL
	}
	if s.Retry == 0 {
		s.Retry = DefaultRetry
		if s.TTL > 0 {
			s.Retry = min(s.Retry, s.TTL)
		}
	}
	s.Retry = max(s.Retry, 0)
	if s.Now == nil {
		s.Now = time.Now //nolint:forbidigo // programs that import this package have no other clock
	}
	if s.Check == nil {
		s.Check = func(Key) error { return nil }
	}
	return s
}
