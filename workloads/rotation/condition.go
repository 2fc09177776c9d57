package rotation

import (
	"fmt"
	"strings"
)

// ConditionType is the type of a condition.
type ConditionType string

// The types of conditions.
const (
	Ready    ConditionType = "Ready"    // the keys are as they should be and nothing is stuck
	Rotating ConditionType = "Rotating" // a rotation, or a rollback, is under way
	Halted   ConditionType = "Halted"   // somebody has to do something
)

// Condition is one line of a status, as Kubernetes has them, without a time.
type Condition struct {
	Type    ConditionType
	Status  bool
	Reason  Reason
	Message string
}

// Conditions returns what to show of the Decision, always of all types, in one order.
func (d Decision) Conditions() []Condition {
	message := d.Message()
	halted := d.Action == Halt
	rotating := d.Next.Phase != Steady && d.Next.Phase != ""
	return []Condition{
		{Ready, !halted, d.Reason, message},
		{Rotating, rotating, d.Reason, message},
		{Halted, halted, d.Reason, message},
	}
}

// Message returns the Decision as a sentence for people. It names late consumers and problems.
func (d Decision) Message() string {
	var b strings.Builder
	b.WriteString(d.deed())
	if !d.Until.IsZero() {
		b.WriteString(" until " + d.Until.UTC().Format("2006-01-02 15:04:05 MST"))
	}
	b.WriteString(": " + d.Reason.sentence())
	if len(d.Late) > 0 {
		late := make([]string, len(d.Late))
		for i, l := range d.Late {
			late[i] = fmt.Sprintf("%s (%s)", l.Consumer, l.Why)
		}
		b.WriteString("; late: " + strings.Join(late, ", "))
	}
	for _, problem := range d.Problems {
		b.WriteString("; " + problem.String())
	}
	return b.String()
}

// deed says what the action does.
func (d Decision) deed() string {
	id := d.ID
	if id == "" {
		id = "a new key"
	}
	switch d.Action {
	case Create:
		return "create " + id
	case Publish:
		return "publish " + id
	case Abandon:
		return "give up " + id
	case Promote, Rollback:
		return fmt.Sprintf("make %s primary instead of %s", d.To, d.From)
	case Migrate:
		return fmt.Sprintf("migrate from %s to %s", d.From, d.To)
	case Retire:
		return "remove " + id
	case Halt:
		return "halted"
	case Wait:
	}
	return "waiting"
}

// sentence says the reason in words. A problem has words of its own.
func (r Reason) sentence() string {
	words := map[Reason]string{
		NotDue:            "the next rotation is not due",
		OnlyByOrder:       "rotations begin when ordered",
		TooEarlyToPromote: "consumers are given time to read the new key",
		TooEarlyToMigrate: "consumers are given time to sign with the primary",
		TooEarlyToRetire:  "what the old key signed may still be in use",
		UptakePending:     "not every consumer reports what the next step needs",
		NoWayBack:         "the rejected key has no other to go back to, order a rotation",
		FirstKey:          "there is no key",
		Due:               "the period is over",
		Ordered:           "a rotation was ordered",
		TakenUp:           "consumers have the new key",
		Rejected:          "the key was rejected",
		MigrationPending:  "data of the old key must move before it goes",
		OutOfUse:          "nobody uses the key",
		UptakeTimedOut:    "consumers are late for too long",
		NoConsumers:       "no consumer is known that could report",
		MigrationFailed:   "the migration failed, order resuming to try again",
	}
	if sentence, ok := words[r]; ok {
		return sentence
	}
	return string(r)
}
