// Package bearer is the runtime of pods that call each other with tokens: the code of packages
// keyring, token and request, which the simulator runs as well, on real files, sockets and clocks.
//
// Run is the program, of an issuer, which signs tokens and calls others with them, or a verifier.
// Its Config is given once; the harness then speaks to its admin port and reads its standard
// output, as with package peer, which has the commands and the rows.
package bearer

import (
	"net/url"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/internal/process"
	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/peer"
	"github.com/certquake/certquake/workloads/token"
)

// Role is what a pod does with tokens.
type Role string

// The roles.
const (
	Issuer   Role = "issuer"   // signs tokens, calls others with them and publishes its keys
	Verifier Role = "verifier" // accepts calls with a good token
)

// PathKeys is where an issuer publishes its public keys as a JWKS, on the port that it listens on.
const PathKeys = "/jwks.json"

// Config is everything a pod is told before it starts, as JSON.
type Config struct {
	Pod string `json:"pod"` // its name in the plan, the source of its rows
	// Mount is the folder of the Secret volume, empty of verifiers that fetch keys.
	Mount string `json:"mount,omitempty"`
	// State is a folder that outlives the container but not the pod (an emptyDir). It holds what
	// the harness has said, so that a restarted process goes on without being told again.
	State  string `json:"state"`
	Listen string `json:"listen"` // address that calls and fetches come to, such as ":7443"
	Admin  string `json:"admin"`  // address of metrics, health and commands, such as ":7480"

	Role Role `json:"role"`
	// Secret is the name of the mounted Secret, by which rows and metrics name its keys. Those that
	// are fetched have the names that the issuer gives them.
	Secret string         `json:"secret,omitempty"`
	Token  token.Settings `json:"token"`
	// KeyringTTL is how old a read of the mount may be before a demand reads again: never if it is
	// negative.
	KeyringTTL time.Duration `json:"keyring_ttl_ns,omitempty"`
	JWKS       *JWKS         `json:"jwks,omitempty"` // of verifiers that mount nothing
	// CacheAge, TokenAge and KeysAge are the ages that the ring in use, the token that an issuer
	// calls with, and the keys that a verifier fetched pretend to have at offset 0.
	CacheAge time.Duration `json:"cache_age_ns,omitempty"`
	TokenAge time.Duration `json:"token_age_ns,omitempty"`
	KeysAge  time.Duration `json:"keys_age_ns,omitempty"`
	// Reuse is how long an issuer calls with one token before it signs another.
	Reuse time.Duration `json:"reuse_ns,omitempty"`

	Horizon time.Duration `json:"horizon_ns"` // no call is made at or after it
	// Deadline is how long one call or fetch may take, from its start.
	Deadline time.Duration `json:"deadline_ns"`
	Streams  []peer.Stream `json:"streams,omitempty"`
}

// JWKS is where a verifier fetches keys, and when.
type JWKS struct {
	Address string       `json:"address"` // of the issuers' PathKeys, by a name of all of them
	Policy  token.Policy `json:"policy"`
}

// DecodeConfig reads a Config from JSON and checks it. Its error is a *peer.ConfigError: unknown
// fields are problems too, so that a misspelt setting cannot be lost.
func DecodeConfig(data []byte) (Config, error) {
	var config Config
	if err := process.DecodeStrictly(data, &config); err != nil {
		return Config{}, &peer.ConfigError{Problems: []string{err.Error()}}
	}
	return config, config.check()
}

// check returns a *peer.ConfigError if Run cannot do what the config says.
func (c *Config) check() error {
	return process.Gather(func(report process.Report) {
		report(c.Pod == "", "pod is missing")
		report(c.Listen == "", "listen is missing")
		report(c.Admin == "", "admin is missing")
		report(c.Horizon <= 0, "horizon_ns must be positive")
		report(c.Deadline <= 0, "deadline_ns must be positive")
		report(c.CacheAge < 0, "cache_age_ns is negative")
		report(c.TokenAge < 0, "token_age_ns is negative")
		report(c.KeysAge < 0, "keys_age_ns is negative")
		_, err := token.NewVerifier(c.Token, noKeys())
		report(err != nil, "token: %v", err)
		c.checkRole(report)
		process.CheckStreams(report, c.Streams)
	})
}

func (c *Config) checkRole(report process.Report) {
	switch c.Role {
	case Issuer:
		report(c.Reuse <= 0, "reuse_ns must be positive of an issuer")
		report(c.JWKS != nil, "an issuer fetches no keys: leave jwks out")
	case Verifier:
		report(len(c.Streams) > 0, "a verifier calls nobody: leave streams out")
	default:
		report(true, "role is %q, want %s or %s", c.Role, Issuer, Verifier)
	}
	report((c.Mount == "") == (c.JWKS == nil), "want either mount or jwks")
	report((c.Mount == "") != (c.Secret == ""), "want secret with mount, and only then")
	if c.JWKS == nil {
		return
	}
	at, err := url.Parse(c.JWKS.Address)
	report(err != nil || at.Scheme != "http" || at.Host == "",
		"jwks.address %q is no address of http", c.JWKS.Address)
	err = c.JWKS.Policy.Check()
	report(err != nil, "jwks: %v", err)
	report(c.Token.Algorithm.Symmetric(), "jwks: secrets for %s are in none", c.Token.Algorithm)
}

// noKeys are keys to check settings with.
func noKeys() token.Keys {
	return token.NewRingKeys("", func() (*keyring.Ring, error) { return nil, nil })
}

// settings returns what is not about tokens.
func (c *Config) settings() process.Settings {
	return process.Settings{
		Pod: c.Pod, Mount: c.Mount, State: c.State, Listen: c.Listen, Admin: c.Admin,
		Horizon: c.Horizon, Deadline: c.Deadline, Streams: c.Streams,
		Attempts: record.Request, Others: "calls",
	}
}
