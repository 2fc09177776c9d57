package scenarios_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/certquake/certquake/scenarios"
)

// Whatever is given to Parse, it returns Problems or a scenario that can be planned, and the plan
// can be encoded.
func FuzzParse(f *testing.F) {
	for _, name := range scenarios.Names() {
		data, err := fs.ReadFile(scenarios.Library(), name+".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "hold", "1m")
	}
	f.Add([]byte(testdata(f, "base.yaml")), "n", "2")
	f.Add([]byte("a: &a [*a]\n"), "", "")
	f.Add([]byte("kind: Scenario\nspec: &s {nodes: [*s], faults: *s}\n"), "", "")
	f.Fuzz(func(t *testing.T, data []byte, param, value string) {
		s, err := scenarios.Parse("fuzz.yaml", data, scenarios.Library(), nil)
		if err == nil && s.Spec.Params[param] != "" {
			s, err = scenarios.Parse("fuzz.yaml", data, scenarios.Library(),
				map[string]string{param: value})
		}
		if err != nil {
			if _, ok := errors.AsType[scenarios.Problems](err); !ok {
				t.Fatalf("not Problems: %v", err)
			}
			return
		}
		plan, err := s.Plan(1)
		if err != nil {
			t.Fatalf("plan: %v", err)
		}
		if _, err := plan.JSON(); err != nil {
			t.Fatalf("encode: %v", err)
		}
	})
}
