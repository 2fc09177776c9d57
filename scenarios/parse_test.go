package scenarios_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/scenarios"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with testdata/name, or writes it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got, "run with -update and read the difference")
}

func testdata(tb testing.TB, name string) string {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(tb, err)
	return string(data)
}

func parse(scenario, pki string, set map[string]string) (*scenarios.Scenario, error) {
	files := fstest.MapFS{"pki.yaml": {Data: []byte(pki)}}
	return scenarios.Parse("base.yaml", []byte(scenario), files, set)
}

func TestParse(t *testing.T) {
	t.Parallel()
	set := map[string]string{"n": "4"}
	s, err := parse(testdata(t, "base.yaml"), testdata(t, "pki.yaml"), set)
	require.NoError(t, err)
	assert.Equal(t, "base", s.Metadata.Name)
	assert.Equal(t, map[string]string{"hold": "400s", "n": "4"}, s.Spec.Params)
	assert.Equal(t, 4, s.Spec.Workloads[0].AkkaPeers.Replicas)
	assert.Equal(t, scenarios.Duration(400*time.Second), s.Spec.Faults[1].SwapCA.Hold)
	assert.Equal(t, 10*time.Second, s.Spec.Load[1].NewConnections.Rate.Interval())
	assert.Len(t, s.World.Certificates, 2)
	assert.Equal(t, "default/ca", scenarios.SecretOf(&s.World.Certificates[0]))
	assert.Equal(t, "/root", scenarios.IssuerOf(&s.World.Certificates[0]))
	assert.Equal(t, 8*time.Hour, s.World.Certificates[1].Spec.RenewBefore.Duration)
}

// breakage is a way to break the base scenario or its manifests, and the problems it gives.
type breakage struct {
	name, head, want string // head is how it is written in problems.txt
	scenario, pki    string
	set              map[string]string
}

// breakages reads testdata/problems.txt: "in FILE", "- old", "+ new" and "set name=value", then the
// problems after an empty line.
func breakages(t *testing.T) []breakage {
	t.Helper()
	var all []breakage
	text := strings.TrimPrefix(testdata(t, "problems.txt"), "== ")
	for section := range strings.SplitSeq(text, "\n== ") {
		head, want, _ := strings.Cut(section, "\n\n")
		name, lines, _ := strings.Cut(head, "\n")
		b := breakage{
			name: name, head: head, want: strings.TrimSuffix(want, "\n"), set: map[string]string{},
			scenario: testdata(t, "base.yaml"), pki: testdata(t, "pki.yaml"),
		}
		target, old := &b.scenario, ""
		for line := range strings.SplitSeq(lines, "\n") {
			verb, rest, _ := strings.Cut(line, " ")
			rest = strings.ReplaceAll(rest, `\n`, "\n")
			switch {
			case verb == "in" && rest == "pki.yaml":
				target = &b.pki
			case verb == "-":
				require.Contains(t, *target, rest, name)
				old = rest
			case verb == "+":
				*target = strings.Replace(*target, old, rest, 1)
			case verb == "set":
				param, value, _ := strings.Cut(rest, "=")
				b.set[param] = value
			}
		}
		all = append(all, b)
	}
	return all
}

// Each way to break a scenario gives exactly the text in testdata/problems.txt.
func TestProblems(t *testing.T) {
	t.Parallel()
	var sections []string
	for _, b := range breakages(t) {
		_, err := parse(b.scenario, b.pki, b.set)
		require.ErrorAs(t, err, new(scenarios.Problems), b.name)
		if !*update {
			assert.Equal(t, strings.TrimSpace(b.want), err.Error(), b.name)
		}
		sections = append(sections, "== "+b.head+"\n\n"+err.Error()+"\n")
	}
	assert.Greater(t, len(sections), 100)
	golden(t, "problems.txt", strings.Join(sections, "\n"))
}

func TestProblemsOfWholeFiles(t *testing.T) {
	t.Parallel()
	bomb := strings.Builder{}
	bomb.WriteString("a: &a [x,x,x,x,x,x,x,x,x,x]\n")
	for c := 'b'; c <= 'i'; c++ {
		refs := strings.Repeat("*"+string(c-1)+",", 10)
		bomb.WriteString(string(c) + ": &" + string(c) + " [" + refs + "]\n")
	}
	base := "apiVersion: certquake.dev/v1alpha1\nkind: Scenario\nmetadata: {name: x}\n"
	tests := []struct{ name, data, want string }{
		{"empty", "", "x.yaml: is empty; start from a scenario that `certquake list` shows"},
		{
			"only a comment", "# nothing\n",
			"x.yaml: is empty; start from a scenario that `certquake list` shows",
		},
		{"binary", "\x00\x01\xff", "x.yaml: is not UTF-8 text; give a YAML file"},
		{"too large", strings.Repeat("a", 1<<20+1), "x.yaml: is larger than 1024 KiB"},
		{"not YAML", "a: [\n", "x.yaml:2: is not YAML: did not find expected node content"},
		{"text", "hello\n", `x.yaml:1: is "hello", not a scenario; ` +
			"start from a scenario that `certquake list` shows"},
		{
			"a Certificate", "apiVersion: cert-manager.io/v1\nkind: Certificate\n",
			`x.yaml:1: apiVersion: is "cert-manager.io/v1", not certquake.dev/v1alpha1; ` +
				"a scenario has apiVersion: certquake.dev/v1alpha1 and kind: Scenario",
		},
		{
			"older version", "apiVersion: certquake.dev/v1alpha0\nkind: Scenario\n",
			`x.yaml:1: apiVersion: is "certquake.dev/v1alpha0", not certquake.dev/v1alpha1; ` +
				`did you mean "certquake.dev/v1alpha1"?`,
		},
		{"two scenarios", base + "---\n" + base, "x.yaml:5: holds a second document; " +
			"write one scenario per file; Kubernetes objects go under spec.manifests"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := scenarios.Parse("x.yaml", []byte(tt.data), nil, nil)
			assert.EqualError(t, err, tt.want)
		})
	}
	t.Run("bomb", func(t *testing.T) {
		t.Parallel()
		data := base + bomb.String() + "spec: {nodes: [*i], workloads: *i, load: *i, faults: *i}\n"
		_, err := scenarios.Parse("x.yaml", []byte(data), nil, nil)
		require.ErrorAs(t, err, new(scenarios.Problems))
	})
	t.Run("parameter bomb", func(t *testing.T) {
		t.Parallel()
		data := base + "spec:\n  params: {a: " + strings.Repeat("a", 1<<16) + "}\n  why: " +
			strings.Repeat("$(a)", 1<<16) + "\n"
		_, err := scenarios.Parse("x.yaml", []byte(data), nil, nil)
		assert.ErrorContains(t, err, "why: is too long after substitution")
	})
}

// A file that is missing is one problem, and does not make every name that it defines another.
func TestMissingManifest(t *testing.T) {
	t.Parallel()
	data := []byte(testdata(t, "base.yaml"))
	for _, tt := range []struct{ name, file, want string }{
		{"no such file", "pki.yaml", `base.yaml:11: manifests[0]: there is no file "pki.yaml"; ` +
			`did you mean "pkis.yaml"?`},
		{"outside", "../pki.yaml", `base.yaml:11: manifests[0]: "../pki.yaml" is not a path ` +
			`below the scenario's folder; move the file there`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			edited := strings.Replace(string(data), "[pki.yaml]", "["+tt.file+"]", 1)
			files := fstest.MapFS{"pkis.yaml": {Data: []byte("a: b")}}
			_, err := scenarios.Parse("base.yaml", []byte(edited), files, nil)
			assert.EqualError(t, err, tt.want)
		})
	}
	_, err := scenarios.Parse("-", data, nil, nil)
	assert.EqualError(t, err, `-:11: manifests[0]: "pki.yaml" cannot be read: the scenario is in `+
		`no folder; write the objects inline`)
}

func TestSubstitution(t *testing.T) {
	t.Parallel()
	why := "why: A sound scenario, for tests to break."
	scenario := strings.Replace(testdata(t, "base.yaml"), why,
		"why: costs $$(n) or $5, for $(n) pods", 1)
	s, err := parse(scenario, testdata(t, "pki.yaml"), nil)
	require.NoError(t, err)
	assert.Equal(t, "costs $(n) or $5, for 3 pods", s.Spec.Why)
}
