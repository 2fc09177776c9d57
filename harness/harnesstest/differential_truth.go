package harnesstest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Truth is what real clusters made of the cases, and what the simulator holds possible: the newest
// of each, by the case's command line. It is kept in the repository, so that backends can be tried
// at different times and still share a table.
type Truth struct {
	Model map[string]Model             // by case
	Real  map[string]map[string]Result // by backend, then by case
}

// The files of the truth, in the repository.
const (
	truthDir  = "harness/harnesstest/testdata/truth"
	modelFile = "sim.json"
	tableFile = "README.md"
)

// backends returns the names of the backends that are held against the simulator, in the order of
// the table.
func backends() []string { return []string{"embedded", "kind"} }

// OpenTruth reads what is kept in the repository whose root is the folder.
func OpenTruth(t *testing.T, root string) Truth {
	t.Helper()
	truth := Truth{Model: map[string]Model{}, Real: map[string]map[string]Result{}}
	dir := filepath.Join(root, truthDir)
	load(t, filepath.Join(dir, modelFile), &truth.Model)
	for _, backend := range backends() {
		results := map[string]Result{}
		load(t, filepath.Join(dir, backend+".json"), &results)
		truth.Real[backend] = results
	}
	return truth
}

// load decodes a file, if there is one.
func load(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path) //nolint:gosec // a file of the repository
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	require.NoError(t, err)
	require.NoErrorf(t, json.Unmarshal(data, into), "%s", path)
}

// Keep puts what a backend made of a case into the truth, in place of what it made of it before.
func (truth Truth) Keep(backend string, c Comparison) {
	truth.Model[c.Case.String()] = c.Model
	truth.Real[backend][c.Case.String()] = c.Real
}

// Remodel asks the simulator again what it holds possible of every case in the truth.
func (truth Truth) Remodel(t *testing.T, sim Backend) {
	t.Helper()
	for _, c := range Cases() {
		if _, tried := truth.Model[c.String()]; tried {
			truth.Model[c.String()] = modelOf(t.Context(), t, c, sim)
		}
	}
}

// Stale returns in what one run of a case on the simulator, of seed 1, lies outside of what the
// truth says that the simulator holds possible.
func (truth Truth) Stale(t *testing.T, c Case, sim Backend) []string {
	t.Helper()
	model, tried := truth.Model[c.String()]
	if !tried {
		return nil
	}
	plan := c.Plan(t, 1)
	report := perform(t.Context(), t, plan, sim)
	now := Comparison{Case: c, Model: model, Real: resultOf(report), plan: plan}
	return now.Differences()
}

// Write adds the truth to what is in the repository by now, in the files of the simulator and of
// all backends, and writes the README's table of it. Cases that there are no more are left out.
func (truth Truth) Write(t *testing.T, root string) {
	t.Helper()
	kept := OpenTruth(t, root)
	dir := filepath.Join(root, truthDir)
	require.NoError(t, os.MkdirAll(dir, 0o755)) //nolint:gosec // a folder of the repository
	maps.Copy(kept.Model, truth.Model)
	save(t, filepath.Join(dir, modelFile), kept.Model)
	for _, backend := range backends() {
		maps.Copy(kept.Real[backend], truth.Real[backend])
		save(t, filepath.Join(dir, backend+".json"), kept.Real[backend])
	}
	path := filepath.Join(root, tableFile)
	data, err := os.ReadFile(path) //nolint:gosec // a file of the repository
	require.NoError(t, err)
	before, _, after := aroundTable(t, string(data))
	text := before + kept.Table(t) + after
	//nolint:gosec // as above
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

// save encodes what there is of the cases, with its keys in alphabetical order.
func save[T any](t *testing.T, path string, all map[string]T) {
	t.Helper()
	maps.DeleteFunc(all, func(name string, _ T) bool {
		return !slices.ContainsFunc(Cases(), func(c Case) bool { return c.String() == name })
	})
	data, err := json.MarshalIndent(all, "", "  ")
	require.NoError(t, err)
	//nolint:gosec // as above
	require.NoError(t, os.WriteFile(path, append(data, '\n'), 0o644))
}

// The marks between which the README has the table.
const (
	tableBegin = "<!-- differential table: make truth -->\n"
	tableEnd   = "<!-- end of the table -->\n"
)

// Published returns the table that the README has.
func Published(t *testing.T, root string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, tableFile)) //nolint:gosec // of the repository
	require.NoError(t, err)
	_, table, _ := aroundTable(t, string(data))
	return table
}

// aroundTable cuts a text at the marks, which stay with what is around the table.
func aroundTable(t *testing.T, text string) (before, table, after string) {
	t.Helper()
	before, rest, begins := strings.Cut(text, tableBegin)
	table, after, ends := strings.Cut(rest, tableEnd)
	require.Truef(t, begins && ends, "%s has the marks of the table", tableFile)
	return before + tableBegin, table, tableEnd + after
}
