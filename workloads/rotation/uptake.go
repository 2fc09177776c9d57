package rotation

import (
	"slices"
	"strings"
	"time"
)

// Report is what one consumer was last seen to use. A driver lists every consumer there is: one
// that does not answer has a zero Seen, one that is gone is not listed.
type Report struct {
	Consumer string
	Ring     Ring
	Seen     time.Time // by the driver's clock
}

// Lateness is what a consumer lacks.
type Lateness string

// The ways to be late.
const (
	Silent      Lateness = "Silent"      // it reported nothing
	Outdated    Lateness = "Outdated"    // it last reported before what is asked
	LacksKey    Lateness = "LacksKey"    // it has not read the new key
	OtherSigner Lateness = "OtherSigner" // it signs with another key than the primary
)

// Late is a consumer that a step waits for.
type Late struct {
	Consumer string   `json:"consumer"`
	Why      Lateness `json:"why"`
}

// late returns the consumers, sorted by name, that are not known to fit since a time. Under Time a
// consumer that has said nothing since is not late.
func (m *machine) late(since time.Time, fits func(Ring) Lateness) []Late {
	var late []Late
	for _, report := range m.in.Uptake {
		why := Lateness("")
		switch {
		case !report.Seen.IsZero() && !report.Seen.Before(since):
			why = fits(report.Ring)
		case m.in.Spec.Gate == Time:
		case report.Seen.IsZero():
			why = Silent
		default:
			why = Outdated
		}
		if why != "" {
			late = append(late, Late{Consumer: report.Consumer, Why: why})
		}
	}
	slices.SortFunc(late, func(a, b Late) int {
		return strings.Compare(a.Consumer+"\x00"+string(a.Why), b.Consumer+"\x00"+string(b.Why))
	})
	return late
}

// has asks for the new key beside the primary.
func (m *machine) has(ring Ring) Lateness {
	if !ring.Has(m.next.Next) {
		return LacksKey
	}
	return ""
}

// signs asks for the primary as the key that signs.
func (m *machine) signs(ring Ring) Lateness {
	switch {
	case !ring.Has(m.next.Primary):
		return LacksKey
	case ring.Primary != m.next.Primary:
		return OtherSigner
	}
	return ""
}
