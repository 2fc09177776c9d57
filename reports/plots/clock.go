package plots

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"gonum.org/v1/plot"
)

// Window is the stretch of time that a picture shows.
type Window struct{ From, To time.Duration }

// clock is a time axis: its unit, where it counts from and what it is called.
type clock struct {
	unit   time.Duration
	origin time.Duration
	label  string
}

// axis returns the time axis for the window. One that starts late counts from its own start, as the
// offsets of a year would not fit under the ticks.
func (w Window) axis() clock {
	unit, name := unitOf(w.To - w.From)
	c := clock{unit: unit, label: fmt.Sprintf("time since the start (%s)", name)}
	if w.From > 4*(w.To-w.From) {
		c.origin = w.From.Truncate(unit)
		c.label = fmt.Sprintf("time since %s after the start (%s)", compact(c.origin), name)
	}
	return c
}

// unitOf returns the unit in which a stretch reads best, and its name.
func unitOf(span time.Duration) (time.Duration, string) {
	switch {
	case span <= 4*time.Minute:
		return time.Second, "s"
	case span <= 3*time.Hour:
		return time.Minute, "min"
	case span <= 4*24*time.Hour:
		return time.Hour, "h"
	}
	return 24 * time.Hour, "d"
}

// at converts an offset to a position on the axis.
func (c clock) at(d time.Duration) float64 { return float64(d-c.origin) / float64(c.unit) }

// set makes the axis that of the window.
func (c clock) set(axis *plot.Axis, w Window) {
	axis.Min, axis.Max = c.at(w.From), c.at(w.To)
	axis.Label.Text = c.label
	axis.Tick.Marker = ticker{}
}

// ticker places up to about ten ticks at round numbers.
type ticker struct{}

// Ticks implements plot.Ticker.
func (ticker) Ticks(low, high float64) []plot.Tick {
	step := roundStep((high - low) / 9)
	var ticks []plot.Tick
	for k := math.Ceil(low/step - 1e-9); k*step <= high+step*1e-9; k++ {
		ticks = append(ticks, plot.Tick{Value: k * step, Label: figure(k * step)})
	}
	return ticks
}

// roundStep returns the smallest of 1, 2, 3, 5, 6 times a power of ten that is at least the given
// step: 30 and 60 read better on a clock than 25 and 50.
func roundStep(step float64) float64 {
	if step <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(step)))
	for _, factor := range []float64{1, 2, 3, 5, 6} {
		if factor*power >= step*(1-1e-9) {
			return factor * power
		}
	}
	return 10 * power
}

// figure writes a number without noise. Adding 0 makes a negative zero positive.
func figure(value float64) string {
	return strconv.FormatFloat(math.Round(value*1e6)/1e6+0, 'f', -1, 64)
}

// compact writes an offset in days, hours and minutes.
func compact(d time.Duration) string {
	days := d / (24 * time.Hour)
	clock := (d % (24 * time.Hour)).Round(time.Second).String()
	if trimmed, ok := strings.CutSuffix(clock, "m0s"); ok {
		clock = trimmed + "m"
	}
	if trimmed, ok := strings.CutSuffix(clock, "h0m"); ok {
		clock = trimmed + "h"
	}
	switch {
	case days == 0:
		return clock
	case clock == "0s":
		return fmt.Sprintf("%dd", days)
	}
	return fmt.Sprintf("%dd %s", days, clock)
}
