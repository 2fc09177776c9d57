package scenarios

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"
)

// Percentage is a share of a whole, written as 5% or 0.5%; 5% is 0.05.
type Percentage float64

// share returns the percentage as a part of 1.
func (p Percentage) share() float64 { return float64(p) }

// String returns the percentage as it is written.
func (p Percentage) String() string {
	// A product of 100 may be off by the last digits, which nobody wrote.
	return strconv.FormatFloat(math.Round(float64(p)*1e10)/1e8, 'f', -1, 64) + "%"
}

// MarshalText implements encoding.TextMarshaler, for JSON.
func (p Percentage) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler, for YAML and JSON.
func (p *Percentage) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(string(text), "%")
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || !percent || math.IsNaN(value) {
		return &valueError{fmt.Sprintf("%q is not a percentage", text), "write it as 5% or 0.5%"}
	}
	if value < 0 || value > 100 {
		return &valueError{what: fmt.Sprintf("%s is not between 0%% and 100%%", text)}
	}
	*p = Percentage(value / 100)
	return nil
}

// JSONSchema describes a percentage to editors.
func (Percentage) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{
		Type:        "string",
		Pattern:     `^[0-9]+(\.[0-9]+)?%$`,
		Description: "A percentage such as 5% or 0.5%.",
		Examples:    []any{"5%", "0.5%"},
	}
}
