package reports

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// writeRun writes the folder of a run as the CLI does, without its report.
func writeRun(t *testing.T, plan scenarios.Plan, rows []record.Span) string {
	t.Helper()
	dir := t.TempDir()
	data, err := json.Marshal(plan)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, PlanFile), data, 0o600))
	var buffer bytes.Buffer
	header := headerOf(plan)
	header.Digest = plan.Digest()
	writer, err := record.NewWriter(&buffer, header)
	require.NoError(t, err)
	for _, row := range rows {
		require.NoError(t, writer.Write(row))
	}
	require.NoError(t, writer.Flush())
	require.NoError(t, os.WriteFile(filepath.Join(dir, RecordFile), buffer.Bytes(), 0o600))
	return dir
}

// swapFolder is the folder of the swap's run.
func swapFolder(t *testing.T) string {
	t.Helper()
	plan := swapPlan()
	return writeRun(t, plan, swapRows(plan))
}

// files returns the content of every file under the folder.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	visit := func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, path))
		found[path] = string(data)
		return err
	}
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", visit))
	return found
}

func TestRebuildTwiceGivesTheSameBytes(t *testing.T) {
	dir := swapFolder(t)
	_, err := Rebuild(dir)
	require.NoError(t, err)
	first := files(t, dir)
	for _, name := range []string{
		"report.json", "report.md", "report.html", "junit.xml", "plots/outcomes.svg",
		"plots/outcomes.png", "plots/incident.svg", "plots/lanes.svg", "plots/matrix.png",
		"plots/propagation.svg",
	} {
		assert.Contains(t, first, name)
	}
	r, err := Rebuild(dir)
	require.NoError(t, err)
	assert.Equal(t, first, files(t, dir))
	assert.Equal(t, Fail, r.Verdict)
	assert.True(t, r.AsExpected)
}

// What an Analyzer makes of a run while it is recorded is what Rebuild makes of its folder.
func TestRebuildAgreesWithTheLiveAnalysis(t *testing.T) {
	plan := swapPlan()
	header := headerOf(plan)
	header.Digest = plan.Digest()
	analyzer := NewAnalyzer(plan, header)
	for _, row := range swapRows(plan) {
		require.NoError(t, analyzer.Write(row))
	}
	live, err := Judge(analyzer.Finish())
	require.NoError(t, err)
	loaded, err := load(swapFolder(t))
	require.NoError(t, err)
	rebuilt, err := Judge(loaded)
	require.NoError(t, err)
	assert.Equal(t, live, rebuilt)
}

func TestRebuildOfATruncatedRecord(t *testing.T) {
	dir := swapFolder(t)
	path := filepath.Join(dir, RecordFile)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data[:len(data)/2], 0o600))
	r, err := Rebuild(dir)
	require.NoError(t, err)
	assert.False(t, r.Complete)
	assert.NotEqual(t, Pass, r.Verdict)
	assert.Contains(t, files(t, dir)["report.html"], "The record of this run is not complete")
}

func TestRebuildOfARecordWithABadRow(t *testing.T) {
	dir := swapFolder(t)
	path := filepath.Join(dir, RecordFile)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := bytes.SplitAfter(data, []byte("\n"))
	lines[9] = []byte("{\"kind\": 7}\n")
	require.NoError(t, os.WriteFile(path, bytes.Join(lines, nil), 0o600))
	a, err := load(dir)
	require.NoError(t, err)
	r, err := Judge(a)
	require.NoError(t, err)
	assert.False(t, r.Complete)
	assert.Contains(t, r.Findings[8].Reason, "the record is not whole: record row 10: ")
}

func TestRebuildErrors(t *testing.T) {
	overwrite := func(name, text string) func(*testing.T, string) string {
		return func(t *testing.T, dir string) string {
			t.Helper()
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
			return dir
		}
	}
	remove := func(name string) func(*testing.T, string) string {
		return func(t *testing.T, dir string) string {
			t.Helper()
			require.NoError(t, os.Remove(filepath.Join(dir, name)))
			return dir
		}
	}
	for _, row := range []struct {
		name  string
		spoil func(*testing.T, string) string
		want  string
	}{
		{
			"missing folder", func(_ *testing.T, dir string) string { return dir + "-not" },
			"there is no such folder",
		},
		{
			"a file", func(_ *testing.T, dir string) string { return filepath.Join(dir, PlanFile) },
			"it is a file; give the folder that holds it",
		},
		{
			"an empty folder", func(t *testing.T, _ string) string {
				t.Helper()
				return t.TempDir()
			},
			"it has no plan.json",
		},
		{"no record", remove(RecordFile), "it has no events.jsonl"},
		{"an empty plan", overwrite(PlanFile, ""), "plan.json is empty"},
		{
			"a corrupt plan", overwrite(PlanFile, `{"scenario": `),
			"plan.json: unexpected end of JSON input",
		},
		{
			"a foreign plan", overwrite(PlanFile, `{"name": "package", "version": "1.0.0"}`),
			"plan.json is not a plan: it names no scenario or no horizon",
		},
		{
			"an empty record", overwrite(RecordFile, ""),
			"events.jsonl: not a certquake record: no whole first row",
		},
		{
			"a foreign record", overwrite(RecordFile, "hello\nworld\n"),
			"events.jsonl: not a certquake record: row 1",
		},
		{"another plan's record", func(t *testing.T, dir string) string {
			t.Helper()
			plan := swapPlan()
			plan.Seed++
			data, err := json.Marshal(plan)
			require.NoError(t, err)
			return overwrite(PlanFile, string(data))(t, dir)
		}, "events.jsonl is the record of another plan: it names sha256:"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := row.spoil(t, writeRun(t, swapPlan(), nil))
			_, err := Rebuild(dir)
			require.ErrorIs(t, err, ErrNotRun)
			require.ErrorContains(t, err, "report on "+dir+": not a run folder: ")
			require.ErrorContains(t, err, row.want)
			assert.NoFileExists(t, filepath.Join(dir, "report.json"))
		})
	}
}
