package rotation

import "strings"

// Reason is why something is as it is: why a step is taken, is not, or cannot be. The set is
// closed and spelled as in the conditions of Kubernetes.
type Reason string

// The reasons to wait.
const (
	NotDue            Reason = "NotDue"
	OnlyByOrder       Reason = "OnlyByOrder" // Every is 0
	TooEarlyToPromote Reason = "TooEarlyToPromote"
	TooEarlyToMigrate Reason = "TooEarlyToMigrate"
	TooEarlyToRetire  Reason = "TooEarlyToRetire"
	UptakePending     Reason = "UptakePending"
	NoWayBack         Reason = "NoWayBack" // the rejected primary has no other key to go back to
)

// The reasons to act.
const (
	FirstKey         Reason = "FirstKey"
	Due              Reason = "Due"
	Ordered          Reason = "Ordered"
	TakenUp          Reason = "TakenUp" // the gate of a promotion is open
	Rejected         Reason = "Rejected"
	MigrationPending Reason = "MigrationPending"
	OutOfUse         Reason = "OutOfUse" // the gate of a removal is open
)

// The reasons to halt that time, consumers or the driver can end.
const (
	UptakeTimedOut  Reason = "UptakeTimedOut"
	NoConsumers     Reason = "NoConsumers" // under Uptake nobody to ask is not everybody ready
	MigrationFailed Reason = "MigrationFailed"
)

// The reasons to halt that only people can end.
const (
	InvalidSpec   Reason = "InvalidSpec"
	InvalidState  Reason = "InvalidState"
	NoPrimary     Reason = "NoPrimary"
	TwoPrimaries  Reason = "TwoPrimaries"
	TooManyKeys   Reason = "TooManyKeys"
	KeyTwice      Reason = "KeyTwice"      // one part of a key both as primary and not
	IncompleteKey Reason = "IncompleteKey" // parts of one id that make no key
	UnnamedKey    Reason = "UnnamedKey"    // a file such as .key, whose id is empty
	UnknownKey    Reason = "UnknownKey"    // a key that State knows nothing of
	MissingKey    Reason = "MissingKey"    // a key of State is not among the files
	PrimaryMoved  Reason = "PrimaryMoved"  // another key than State's is primary
	KeysMissing   Reason = "KeysMissing"   // a secret rotated before has no key at all
	Ambiguous     Reason = "Ambiguous"     // State is lost and two ids tell no order
)

// Problem is one thing that keeps a rotation from going on until somebody has seen to it.
type Problem struct {
	Reason Reason `json:"reason"`
	Path   string `json:"path,omitempty"` // a field of the Spec, a file, or the ids of keys
	What   string `json:"what"`
	Hint   string `json:"hint,omitempty"` // the next step
}

// String returns the problem as path: what; hint.
func (p Problem) String() string {
	var b strings.Builder
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.What)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}
