package scenarios

import (
	"fmt"
	"strconv"
	"time"

	"github.com/invopop/jsonschema"
)

// Duration is a span of time, written as Go duration text such as 90s, 5m or 8h30m.
type Duration time.Duration

// durationPattern is what ParseDuration accepts, as a JSON Schema pattern.
const durationPattern = `^[-+]?(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))` +
	`(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))*$`

// durationMax is a hundred years, as long as the longest-lived CAs. Offsets are sums of at most two
// durations and a horizon, so they do not overflow.
const durationMax = 100 * 8760 * time.Hour

// std returns the duration as the standard library has it.
func (d Duration) std() time.Duration { return time.Duration(d) }

// String returns the duration without trailing zero units: 5m, not 5m0s.
func (d Duration) String() string { return shortDuration(time.Duration(d)) }

// MarshalText implements encoding.TextMarshaler, for JSON.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler, for YAML and JSON.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return &valueError{fmt.Sprintf("%q is not a duration", text), durationHint(string(text))}
	}
	if parsed > durationMax || parsed < -durationMax {
		return &valueError{what: fmt.Sprintf("%s is more than %s", text, Duration(durationMax))}
	}
	*d = Duration(parsed)
	return nil
}

// durationHint returns how to write a duration, guessing seconds for a bare number.
func durationHint(text string) string {
	if _, err := strconv.ParseUint(text, 10, 31); err == nil {
		return fmt.Sprintf("did you mean %q?", text+"s")
	}
	return "write it as 90s, 5m or 8h30m"
}

// JSONSchema describes a duration to editors.
func (Duration) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{
		Type:        "string",
		Pattern:     durationPattern,
		Description: "A duration such as 90s, 5m or 8h30m.",
		Examples:    []any{"90s", "5m", "8h30m"},
	}
}

// shortDuration prints d as Go does, but without the zero units at the end.
func shortDuration(d time.Duration) string {
	text := d.String()
	if d%time.Minute == 0 && d != 0 {
		text = text[:len(text)-len("0s")]
	}
	if d%time.Hour == 0 && d != 0 {
		text = text[:len(text)-len("0m")]
	}
	return text
}
