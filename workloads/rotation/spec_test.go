package rotation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/certquake/certquake/workloads/rotation"
)

func TestDefaults(t *testing.T) {
	assert.Equal(t, rotation.Spec{
		Generate:     rotation.Key{Kind: rotation.Symmetric, Length: 32},
		PromoteAfter: 10 * minute, RetireAfter: 24 * time.Hour, Gate: rotation.Time,
		UptakeTimeout: time.Hour, IDs: rotation.Counter, Prefix: "r",
	}, rotation.Spec{}.WithDefaults())
	for _, kind := range []rotation.Kind{
		rotation.Symmetric, rotation.RSA, rotation.EC, rotation.Ed25519, rotation.Password,
	} {
		spec := rotation.Spec{Generate: rotation.Key{Kind: kind}, Gate: rotation.Uptake}
		assert.Empty(t, spec.WithDefaults().Validate(), kind)
		assert.Zero(t, spec.WithDefaults().PromoteAfter)
	}
}

// Everything wrong is said at once, and nothing is done.
func TestValidate(t *testing.T) {
	spec := rotation.Spec{
		Generate: rotation.Key{Kind: rotation.EC, Bits: 1, Curve: "P-224", Length: 1},
		Every:    -1, PromoteAfter: -1, RetireAfter: -1, Gate: "x", IDs: "y", Prefix: "a/b",
	}
	var got []string
	for _, problem := range spec.Validate() {
		assert.Equal(t, rotation.InvalidSpec, problem.Reason)
		got = append(got, problem.String())
	}
	assert.Equal(t, []string{
		`generate.curve: unknown curve "P-224"; use P-256, P-384 or P-521`,
		`generate.bits: means nothing for ec; remove it`,
		`generate.length: means nothing for ec; remove it`,
		`every: -1ns is negative`,
		`promoteAfter: -1ns is negative`,
		`retireAfter: -1ns is negative`,
		`gate: unknown gate "x"; use time or uptake`,
		`uptakeTimeout: 0s is no time to wait; use a time above 0, such as 1h`,
		`ids: unknown kind of id "y"; use counter, timestamp or uuid`,
		`prefix: no id can begin with "a/b"; ` +
			"begin with a letter or digit, go on with letters, digits, -, _ and .",
	}, got)
	d := rotation.Decide(rotation.Input{Spec: spec, Now: start})
	assert.Equal(t, rotation.Halt, d.Action)
	assert.Len(t, d.Problems, len(got))

	for path, change := range map[string]func(*rotation.Spec){
		"prefix":          func(s *rotation.Spec) { s.Prefix = "r2" },
		"prefix ":         func(s *rotation.Spec) { s.Prefix = strings.Repeat("a", 65) },
		"prefix  ":        func(s *rotation.Spec) { s.Prefix = "..a" },
		"prefix   ":       func(s *rotation.Spec) { s.Prefix = "-a" },
		"generate.kind":   func(s *rotation.Spec) { s.Generate.Kind = "x" },
		"generate.length": func(s *rotation.Spec) { s.Generate.Length = 15 },
		"generate.curve":  func(s *rotation.Spec) { s.Generate.Curve = rotation.P256 },
		"generate.bits": func(s *rotation.Spec) {
			s.Generate = rotation.Key{Kind: rotation.RSA, Bits: 1024}
		},
	} {
		spec := rotation.Spec{}.WithDefaults()
		change(&spec)
		problems := spec.Validate()
		if assert.Len(t, problems, 1, path) {
			assert.Equal(t, strings.TrimSpace(path), problems[0].Path)
		}
	}
}

// The bounds of the kubelet and of a consumer that reads every five minutes.
func TestMargins(t *testing.T) {
	propagation := rotation.Propagation(minute, 0, 5*minute)
	assert.Equal(t, 391300*time.Millisecond, propagation)
	bounds := rotation.Bounds{Propagation: propagation, TokenTTL: time.Hour, Skew: minute}
	spec := rotation.Spec{Every: 2 * time.Hour, RetireAfter: time.Hour}.WithDefaults()
	spare := func(spec rotation.Spec) []time.Duration {
		var all []time.Duration
		for _, margin := range spec.Margins(bounds) {
			assert.Equal(t, spec.Gate == rotation.Uptake, margin.Observed)
			all = append(all, margin.Spare())
		}
		return all
	}
	assert.Equal(t, []time.Duration{
		10*minute - propagation, -minute - propagation, 50 * minute,
	}, spare(spec))
	spec.Gate = rotation.Uptake
	assert.Equal(t, []time.Duration{
		10 * minute, -minute, 50*minute - 2*propagation,
	}, spare(spec))
	spec.Every = 0
	assert.Len(t, spare(spec), 2)
}
