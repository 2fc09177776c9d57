package api

import (
	"fmt"
	"time"

	"github.com/certquake/certquake/workloads/rotation"
)

// Rotation returns what is asked for in terms of package rotation, and which of the durations are
// none. What is not said is filled in; a zero that is said stays one.
func (s *RotatingSecretSpec) Rotation() (rotation.Spec, []rotation.Problem) {
	spec := rotation.Spec{
		Generate: rotation.Key{
			Kind: rotation.Kind(s.Generate.Kind), Bits: int(s.Generate.Bits),
			Curve: rotation.Curve(s.Generate.Curve), Length: int(s.Generate.Length),
		},
		Gate: rotation.Gate(s.Gate), IDs: rotation.IDKind(s.IDs), Prefix: s.Prefix,
		HoldHalt: s.HoldHalt, Migrate: s.Migration != nil,
	}.WithDefaults()
	var problems []rotation.Problem
	for _, d := range []struct {
		path string
		text *Duration
		into *time.Duration
	}{
		{"every", s.Every, &spec.Every},
		{"promoteAfter", s.PromoteAfter, &spec.PromoteAfter},
		{"retireAfter", s.RetireAfter, &spec.RetireAfter},
		{"uptakeTimeout", s.UptakeTimeout, &spec.UptakeTimeout},
	} {
		if d.text == nil {
			continue
		}
		value, err := time.ParseDuration(string(*d.text))
		if err != nil {
			problems = append(problems, rotation.Problem{
				Reason: rotation.InvalidSpec, Path: d.path,
				What: fmt.Sprintf("%q is no time", *d.text), Hint: "use one such as 90s or 24h",
			})
			continue
		}
		*d.into = value
	}
	return spec, problems
}

// TargetName returns the name of the Secret that is rotated.
func (rs *RotatingSecret) TargetName() string {
	if rs.Spec.SecretName != "" {
		return rs.Spec.SecretName
	}
	return rs.Name
}
