package harnesstest_test

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/harnesstest"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/harness/sim"
	"github.com/certquake/certquake/reports"
	"github.com/certquake/certquake/scenarios"
)

var update = flag.Bool("update", false, "ask the simulator again, and write the README's table")

// root is the repository's.
const root = "../.."

// compare holds the simulator against itself.
func compare(t *testing.T, c harnesstest.Case) harnesstest.Comparison {
	t.Helper()
	compared, performed := harnesstest.Compare(t.Context(), t, c, sim.New(), sim.New())
	require.True(t, performed)
	return compared
}

// changed returns the comparison with another result of the real run, for change to change.
func changed(
	of harnesstest.Comparison, change func(*harnesstest.Result),
) harnesstest.Comparison {
	of.Real.Outcomes = maps.Clone(of.Real.Outcomes)
	of.Real.Findings = maps.Clone(of.Real.Findings)
	of.Real.ByNode = slices.Clone(of.Real.ByNode)
	change(&of.Real)
	return of
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	swap := compare(t, harnesstest.Case{Scenario: "ca-swap-bundle-short-hold", Speed: 30})
	slow := compare(t, harnesstest.Case{Scenario: "api-outage-watch", Speed: 4})
	law := compare(t, harnesstest.Case{Scenario: "propagation-law", Law: true})
	for _, row := range []struct {
		name   string
		of     harnesstest.Comparison
		change func(*harnesstest.Result)
		want   []string // what each difference begins with
	}{
		{"the same", swap, func(*harnesstest.Result) {}, nil},
		{
			"another verdict", swap, func(r *harnesstest.Result) { r.Verdict = reports.Pass },
			[]string{"the verdict is pass, modelled fail"},
		},
		{
			"another status", swap, func(r *harnesstest.Result) {
				r.Findings[scenarios.NewConnections] = reports.Inconclusive
			}, []string{"new-connections is inconclusive, modelled fail"},
		},
		{
			"an outcome more", swap, func(r *harnesstest.Result) { r.Outcomes[record.Expired] = 1 },
			[]string{"1 attempts ended with expired, none in the model"},
		},
		{
			"an outcome less", swap, func(r *harnesstest.Result) {
				r.Outcomes[record.UnknownAuthority] = 0
			}, []string{"no attempt ended with unknown-authority, always some in the model"},
		},
		{
			"noise", swap, func(r *harnesstest.Result) {
				r.Outcomes[record.Timeout], r.Outcomes[record.Other] = 3, 2
			}, nil,
		},
		{
			"more than noise", swap, func(r *harnesstest.Result) {
				r.Outcomes[record.Timeout], r.Outcomes[record.Other] = 3, 3
			}, []string{"6 attempts ended with no answer, none in the model"},
		},
		{
			"a balance that is off", swap, func(r *harnesstest.Result) { r.Balance.OK-- },
			[]string{"the balance is {"},
		},
		{
			"lost attempts", swap, func(r *harnesstest.Result) {
				r.Balance.OK--
				r.Balance.Unaccounted++
			}, []string{"the balance is {"},
		},
		{
			"far more failures", swap, func(r *harnesstest.Result) {
				r.Balance.OK -= 3000
				r.Balance.Failed += 3000
			}, []string{" attempts failed, modelled "},
		},
		{
			"pods in step", swap, func(r *harnesstest.Result) {
				r.Propagation.P50, r.Propagation.P90 = 12.5, 13
			}, nil,
		},
		{
			"slow pods", slow, func(r *harnesstest.Result) {
				r.Propagation.P50, r.Propagation.P90 = 12.5, 13
			}, []string{
				"propagation: 50 % within 12.5 s, modelled within",
				"propagation: 90 % within 13.0 s, modelled within",
			},
		},
		{"the law", law, func(*harnesstest.Result) {}, nil},
		{
			"a slow node", law, func(r *harnesstest.Result) { r.ByNode[1].P50 = 13 },
			[]string{"propagation on ten: 50 % within 13.0 s"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			compared := changed(row.of, row.change)
			got := compared.Differences()
			if assert.Len(t, got, len(row.want), "%q", got) {
				for i, want := range row.want {
					assert.Contains(t, got[i], want)
				}
			}
		})
	}
}

// TestNotPossible has a case that one backend can perform be refused by the others.
func TestNotPossible(t *testing.T) {
	t.Parallel()
	only := harnesstest.Case{Scenario: "quick-leaf-rotation", Speed: 10, Only: "another"}
	_, performed := harnesstest.Compare(
		t.Context(), t, only, sim.New(), refusing{sim.New()})
	assert.False(t, performed)
}

// refusing is a backend that can do nothing.
type refusing struct{ harnesstest.Backend }

func (refusing) Check(scenarios.Plan) error { return harness.ErrUnsupported }

// TestTable has the results of two backends, written at different times, share a table.
func TestTable(t *testing.T) {
	t.Parallel()
	at := t.TempDir()
	const before = "Before.\n<!-- differential table: make truth -->\nold\n"
	const after = "<!-- end of the table -->\nAfter.\n"
	readme := filepath.Join(at, "README.md")
	require.NoError(t, os.WriteFile(readme, []byte(before+after), 0o600))

	same := compare(t, harnesstest.Case{Scenario: "quick-leaf-rotation", Speed: 10})
	held := harnesstest.Case{Scenario: "sync-held", Speed: 30, Steered: true}
	steered := changed(compare(t, held),
		func(r *harnesstest.Result) { r.Verdict, r.Balance.Failed = reports.Pass, 1234 })
	gone := same
	gone.Case.Scenario = "no-longer-a-case"
	first := harnesstest.OpenTruth(t, at)
	first.Keep("embedded", same)
	first.Keep("embedded", gone)
	first.Write(t, at)
	second := harnesstest.OpenTruth(t, at)
	second.Keep("kind", steered)
	second.Write(t, at)

	table := harnesstest.Published(t, at)
	assert.Equal(t, table, harnesstest.OpenTruth(t, at).Table(t))
	text, err := os.ReadFile(readme)
	require.NoError(t, err)
	assert.Equal(t, before[:len(before)-len("old\n")]+table+after, string(text))
	assert.NotContains(t, table, "no-longer-a-case")
	assert.Regexp(t, `(?m)^\| .quick-leaf-rotation --speed 10. \| 48s \| pass \| 0 \| 0 \| - `+
		`\| 2\.7 s \| [0-9.]+ s \| [0-9.]+ s \| - \| yes \| not tried \|$`, table)
	assert.Regexp(t, `(?m)^\| .sync-held --speed 30. \| 1m40s \| pass \(propagation\) \| 0 \| - `+
		`\| 1,234 \| steered \| [0-9.]+ s \| - \| [0-9.]+ s \| not tried `+
		`\| the verdict is pass, modelled fail; .*1234 attempts failed, modelled 0 \|$`, table)
}

// TestTruth holds the simulator as it is against what is kept of it and of real clusters: a change
// of the simulator must not take it away from the truth unnoticed.
func TestTruth(t *testing.T) {
	t.Parallel()
	truth := harnesstest.OpenTruth(t, root)
	if *update {
		truth.Remodel(t, sim.New())
		truth.Write(t, root)
	}
	assert.Equal(t, harnesstest.Published(t, root), truth.Table(t), "make golden writes the table")
	model := sim.New()
	for _, c := range harnesstest.Cases() {
		for _, difference := range truth.Stale(t, c, model) {
			t.Errorf("%s: seed 1 on the simulator, against what is kept of it: %s: "+
				"make golden asks it again", c, difference)
		}
	}
}
