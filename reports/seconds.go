package reports

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Seconds is a time in seconds. In JSON it is a number that always has a fraction, rounded to a
// nanosecond, so that conditions see one type whatever its value.
type Seconds float64

// MarshalJSON writes the number.
func (s Seconds) MarshalJSON() ([]byte, error) { return fraction(float64(s), 9), nil }

// Share is a number from 0 to 1, in JSON always with a fraction.
type Share float64

// MarshalJSON writes the number.
func (s Share) MarshalJSON() ([]byte, error) { return fraction(float64(s), 6), nil }

// Rate is a number per second, in JSON always with a fraction.
type Rate float64

// MarshalJSON writes the number.
func (r Rate) MarshalJSON() ([]byte, error) { return fraction(float64(r), 3), nil }

// String writes the number for people, who count in whole things.
func (r Rate) String() string { return Number(int64(math.Round(float64(r)))) }

// seconds converts a duration.
func seconds(d time.Duration) Seconds { return Seconds(d.Seconds()) }

// duration converts back.
func (s Seconds) duration() time.Duration {
	return time.Duration(float64(s) * float64(time.Second))
}

// fraction writes a number with 1 to digits decimals.
func fraction(value float64, digits int) []byte {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return []byte("null")
	}
	text := strconv.FormatFloat(value, 'f', digits, 64)
	text = strings.TrimRight(text, "0")
	if strings.HasSuffix(text, ".") {
		text += "0"
	}
	return []byte(text)
}
