package rotation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Phase is where a rotation is.
type Phase string

// The phases.
const (
	// Steady has one key.
	Steady Phase = "Steady"
	// Published has a new key beside the primary, for consumers to read.
	Published Phase = "Published"
	// Retiring has a key beside the primary that is on its way out: the old one after a promotion,
	// the new one after a rollback.
	Retiring Phase = "Retiring"
	// Migrating is Retiring while data moves from the one key to the other.
	Migrating Phase = "Migrating"
)

// State is what a rotation remembers between two decisions. Its driver keeps it in the object that
// holds the keys, so that one write changes both or neither. Only this package changes it.
type State struct {
	Phase    Phase  `json:"phase"`
	Primary  string `json:"primary"`
	Next     string `json:"next,omitempty"`     // in Published
	Retiring string `json:"retiring,omitempty"` // in Retiring and Migrating
	// Back says that Retiring may become primary again: every consumer has had it.
	Back    bool      `json:"back,omitempty"`
	Since   time.Time `json:"since,omitzero"`   // when the phase began; Migrating is in Retiring's
	Settled time.Time `json:"settled,omitzero"` // when Uptake first saw all sign with Primary
	Rotated time.Time `json:"rotated,omitzero"` // when the last rotation began
	Stamp   time.Time `json:"stamp,omitzero"`   // of the newest id, for ids made of the time
	Counter int64     `json:"counter,omitempty"`
	// Rotate and Resume are the orders of these names carried out last.
	Rotate   string    `json:"rotate,omitempty"`
	Resume   string    `json:"resume,omitempty"`
	Resumed  time.Time `json:"resumed,omitzero"` // when Resume was carried out
	Migrated bool      `json:"migrated,omitempty"`
	Attempt  int64     `json:"attempt,omitempty"` // of a migration, never the same twice
	Halted   Reason    `json:"halted,omitempty"`
}

// String returns the State as JSON, for an annotation.
func (s State) String() string {
	text, err := json.Marshal(s.canonical())
	if err != nil { // a time beyond the year 9999
		panic(fmt.Sprintf("marshal the state of a rotation: %v", err))
	}
	return string(text)
}

// ParseState is the inverse of State.String. It is strict: a field of a newer version must not be
// forgotten by an older one.
func ParseState(text string) (State, error) {
	var s State
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		return State{}, fmt.Errorf("parse the state of a rotation: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return State{}, fmt.Errorf("parse the state of a rotation: %w", errTrailing)
	}
	return s.canonical(), nil
}

var errTrailing = errors.New("something follows it")

// canonical returns the State with its times in one form, so that States compare by ==.
func (s State) canonical() State {
	for _, at := range []*time.Time{&s.Since, &s.Settled, &s.Rotated, &s.Stamp, &s.Resumed} {
		*at = at.UTC().Round(0)
	}
	return s
}

// ring returns the ring that the State is about.
func (s State) ring() Ring {
	ring := Ring{Primary: s.Primary, IDs: []string{s.Primary}}
	switch other := s.other(); {
	case other == "":
	case other < s.Primary:
		ring.IDs = []string{other, s.Primary}
	default:
		ring.IDs = append(ring.IDs, other)
	}
	return ring
}

// other returns the id beside the primary's, or "".
func (s State) other() string {
	if s.Next != "" {
		return s.Next
	}
	return s.Retiring
}

// sound reports whether the fields that the phase needs are set, and those of other phases not.
func (s State) sound() bool {
	switch s.Phase {
	case Steady:
		return s.Primary != "" && s.Next == "" && s.Retiring == ""
	case Published:
		return s.Primary != "" && s.Next != "" && s.Retiring == "" && s.Next != s.Primary
	case Retiring, Migrating:
		return s.Primary != "" && s.Next == "" && s.Retiring != "" && s.Retiring != s.Primary
	}
	return false
}
