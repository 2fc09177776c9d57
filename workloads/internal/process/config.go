package process

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/certquake/certquake/harness/record"
)

// Settings are what every process is told before it starts.
type Settings struct {
	Pod     string        // its name in the plan, the source of its rows
	Mount   string        // folder of the Secret volume, "" for none
	State   string        // folder that outlives the container but not the pod
	Listen  string        // address that others connect to
	Admin   string        // address of metrics, health and commands
	Horizon time.Duration // no attempt is made at or after it
	// Deadline is how long one attempt may take, from its start.
	Deadline time.Duration
	Streams  []Stream

	Attempts record.Kind // of the streams' rows
	Others   string      // who connects, for people
}

// Report takes note of a problem with a config where bad.
type Report func(bad bool, format string, args ...any)

// ConfigError is what is wrong with a config, every problem at once.
type ConfigError struct {
	Problems []string
}

// Error lists the problems on one line.
func (e *ConfigError) Error() string { return "config: " + strings.Join(e.Problems, "; ") }

// Gather calls check and returns what it reports as a *ConfigError, nil if that is nothing.
func Gather(check func(Report)) error {
	var problems []string
	check(func(bad bool, format string, args ...any) {
		if bad {
			problems = append(problems, fmt.Sprintf(format, args...))
		}
	})
	if len(problems) > 0 {
		return &ConfigError{Problems: problems}
	}
	return nil
}

// errTrailing is of a JSON text that goes on after its value.
var errTrailing = errors.New("there is more after the JSON value")

// DecodeStrictly decodes exactly one JSON value without unknown fields.
func DecodeStrictly(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errTrailing
	}
	return nil
}

// CheckStreams reports what cannot be performed of streams.
func CheckStreams(report Report, streams []Stream) {
	for i, s := range streams {
		where := fmt.Sprintf("streams[%d]", i)
		report(len(s.Targets) == 0, "%s has no targets", where)
		report(s.Every <= 0, "%s.every_ns must be positive", where)
		report(s.Phase < 0, "%s.phase_ns is negative", where)
		report(s.First < 0, "%s.first is negative", where)
		CheckTargets(report, where+".targets", s.Targets)
	}
}

// CheckTargets reports what cannot be connected to of targets.
func CheckTargets(report Report, where string, targets []Target) {
	for i, t := range targets {
		report(t.Pod == "", "%s[%d].pod is missing", where, i)
		_, _, err := net.SplitHostPort(t.Address)
		report(err != nil, "%s[%d].address: %v", where, i, err)
	}
}
