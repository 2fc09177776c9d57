package peer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"slices"
	"strings"

	"github.com/certquake/certquake/workloads/credential"
)

// ConfigError is what is wrong with a Config, every problem at once.
type ConfigError struct {
	Problems []string
}

// Error lists the problems on one line.
func (e *ConfigError) Error() string { return "config: " + strings.Join(e.Problems, "; ") }

// DecodeConfig reads a Config from JSON and checks it. Its error is a *ConfigError: unknown fields
// are problems too, so that a misspelt setting cannot be lost.
func DecodeConfig(data []byte) (Config, error) {
	var config Config
	if err := decodeStrictly(data, &config); err != nil {
		return Config{}, &ConfigError{Problems: []string{err.Error()}}
	}
	return config, config.check()
}

// errTrailing is of a JSON text that goes on after its value.
var errTrailing = errors.New("there is more after the JSON value")

// decodeStrictly decodes exactly one JSON value without unknown fields.
func decodeStrictly(data []byte, into any) error {
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

// check returns a *ConfigError if Run cannot do what the config says.
func (c *Config) check() error {
	var problems []string
	report := func(bad bool, format string, args ...any) {
		if bad {
			problems = append(problems, fmt.Sprintf(format, args...))
		}
	}
	report(c.Pod == "", "pod is missing")
	report(c.Mount == "", "mount is missing")
	report(c.Listen == "", "listen is missing")
	report(c.Admin == "", "admin is missing")
	report(c.Horizon <= 0, "horizon_ns must be positive")
	report(c.Deadline <= 0, "deadline_ns must be positive")
	report(c.ReadGap < 0, "read_gap_ns is negative")
	report(c.CacheAge < 0, "cache_age_ns is negative")
	c.checkCredential(report)
	for i, s := range c.Streams {
		where := fmt.Sprintf("streams[%d]", i)
		report(len(s.Targets) == 0, "%s has no targets", where)
		report(s.Every <= 0, "%s.every_ns must be positive", where)
		report(s.Phase < 0, "%s.phase_ns is negative", where)
		report(s.First < 0, "%s.first is negative", where)
		checkTargets(report, where+".targets", s.Targets)
	}
	report(len(c.Associations) > 0 && c.Retry <= 0,
		"retry_ns must be positive where there are associations")
	checkTargets(report, "associations", c.Associations)
	if len(problems) > 0 {
		return &ConfigError{Problems: problems}
	}
	return nil
}

func (c *Config) checkCredential(report func(bad bool, format string, args ...any)) {
	kinds := []credential.PolicyKind{
		credential.LazyTTL, credential.Poll, credential.Watch, credential.WatchOnce,
		credential.StartUp,
	}
	report(!slices.Contains(kinds, c.Policy.Kind), "policy.kind is %q, want one of %q",
		c.Policy.Kind, kinds)
	report(c.Policy.Kind == credential.Poll && c.Policy.Every <= 0,
		"policy.every_ns must be positive with poll")
	files := fileNames(c.Read.Files)
	for _, name := range []string{files.CA, files.Cert, files.Key} {
		report(!fs.ValidPath(name) || strings.HasPrefix(name, ".."),
			"read.files has %q, which is no path inside the mount", name)
	}
}

func checkTargets(
	report func(bad bool, format string, args ...any), where string, targets []Target,
) {
	for i, t := range targets {
		report(t.Pod == "", "%s[%d].pod is missing", where, i)
		_, _, err := net.SplitHostPort(t.Address)
		report(err != nil, "%s[%d].address: %v", where, i, err)
	}
}
