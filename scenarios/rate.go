package scenarios

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/invopop/jsonschema"
)

// Rate is a number of events per second, minute or hour, written as 10/s, 6/m or 1/h.
type Rate struct {
	Count int
	Per   time.Duration
}

// rateMax bounds a rate, per second.
const rateMax = 1000

// Interval returns the time between two events, truncated to nanoseconds; 0 for the zero Rate.
func (r Rate) Interval() time.Duration {
	if r.Count <= 0 {
		return 0
	}
	return r.Per / time.Duration(r.Count)
}

// String returns the rate as it is written.
func (r Rate) String() string {
	unit := map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h"}[r.Per]
	return strconv.Itoa(r.Count) + "/" + unit
}

// MarshalText implements encoding.TextMarshaler, for JSON.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler, for YAML and JSON.
func (r *Rate) UnmarshalText(text []byte) error {
	count, unit, _ := strings.Cut(string(text), "/")
	per, ok := map[string]time.Duration{
		"s": time.Second, "m": time.Minute, "h": time.Hour,
	}[unit]
	n, err := strconv.Atoi(count)
	if err != nil || !ok {
		return &valueError{fmt.Sprintf("%q is not a rate", text), "write it as 10/s, 6/m or 1/h"}
	}
	if n <= 0 {
		return &valueError{what: fmt.Sprintf("%q is not positive", text)}
	}
	if limit := rateMax * int(per/time.Second); n > limit {
		return &valueError{what: fmt.Sprintf("%q is more than %d/%s", text, limit, unit)}
	}
	*r = Rate{Count: n, Per: per}
	return nil
}

// JSONSchema describes a rate to editors.
func (Rate) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{
		Type:        "string",
		Pattern:     `^[1-9][0-9]*/[smh]$`,
		Description: "A rate such as 10/s, 6/m or 1/h; at most 1000/s.",
		Examples:    []any{"10/s", "6/m", "1/h"},
	}
}
