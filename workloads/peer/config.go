package peer

import (
	"io/fs"
	"slices"
	"strings"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/internal/process"
)

// DecodeConfig reads a Config from JSON and checks it. Its error is a *ConfigError: unknown fields
// are problems too, so that a misspelt setting cannot be lost.
func DecodeConfig(data []byte) (Config, error) {
	var config Config
	if err := process.DecodeStrictly(data, &config); err != nil {
		return Config{}, &ConfigError{Problems: []string{err.Error()}}
	}
	return config, config.check()
}

// check returns a *ConfigError if Run cannot do what the config says.
func (c *Config) check() error {
	return process.Gather(func(report process.Report) {
		report(c.Pod == "", "pod is missing")
		report(c.Mount == "", "mount is missing")
		report(c.Listen == "", "listen is missing")
		report(c.Admin == "", "admin is missing")
		report(c.Horizon <= 0, "horizon_ns must be positive")
		report(c.Deadline <= 0, "deadline_ns must be positive")
		report(c.ReadGap < 0, "read_gap_ns is negative")
		report(c.CacheAge < 0, "cache_age_ns is negative")
		c.checkCredential(report)
		process.CheckStreams(report, c.Streams)
		report(len(c.Associations) > 0 && c.Retry <= 0,
			"retry_ns must be positive where there are associations")
		process.CheckTargets(report, "associations", c.Associations)
	})
}

func (c *Config) checkCredential(report process.Report) {
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

// settings returns what is not about being a peer.
func (c *Config) settings() process.Settings {
	return process.Settings{
		Pod: c.Pod, Mount: c.Mount, State: c.State, Listen: c.Listen, Admin: c.Admin,
		Horizon: c.Horizon, Deadline: c.Deadline, Streams: c.Streams,
		Attempts: record.Handshake, Others: "peers",
	}
}
