package harnesstest_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/certquake/certquake/harness/harnesstest"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/harness/sim"
	"github.com/certquake/certquake/reports"
)

// changed returns the comparison with another report of the real run, for change to change.
func changed(of harnesstest.Comparison, change func(*reports.Report)) harnesstest.Comparison {
	report := *of.Real
	report.Outcomes = maps.Clone(report.Outcomes)
	report.Findings = slices.Clone(report.Findings)
	report.ByNode = slices.Clone(report.ByNode)
	change(&report)
	of.Real = &report
	return of
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	// The simulator is held against itself.
	swap := harnesstest.Compare(t,
		harnesstest.Case{Scenario: "ca-swap-bundle-short-hold", Speed: 30}, sim.New(), sim.New())
	slow := harnesstest.Compare(t,
		harnesstest.Case{Scenario: "api-outage-watch", Speed: 4}, sim.New(), sim.New())
	law := harnesstest.Compare(t,
		harnesstest.Case{Scenario: "propagation-law", Law: true}, sim.New(), sim.New())
	for _, row := range []struct {
		name   string
		of     harnesstest.Comparison
		change func(*reports.Report)
		want   []string // what each difference begins with
	}{
		{"the same", swap, func(*reports.Report) {}, nil},
		{
			"another verdict", swap, func(r *reports.Report) { r.Verdict = reports.Pass },
			[]string{"the verdict is pass, modelled fail"},
		},
		{
			"another status", swap, func(r *reports.Report) {
				r.Findings[0].Status, r.Findings[0].Reason = reports.Inconclusive, "why"
			}, []string{"new-connections is inconclusive (why), modelled fail"},
		},
		{
			"an outcome more", swap, func(r *reports.Report) { r.Outcomes[record.Expired] = 1 },
			[]string{"1 attempts ended with expired, none in the model"},
		},
		{
			"an outcome less", swap, func(r *reports.Report) {
				r.Outcomes[record.UnknownAuthority] = 0
			}, []string{"no attempt ended with unknown-authority, always some in the model"},
		},
		{
			"noise", swap, func(r *reports.Report) {
				r.Outcomes[record.Timeout], r.Outcomes[record.Other] = 3, 2
			}, nil,
		},
		{
			"more than noise", swap, func(r *reports.Report) {
				r.Outcomes[record.Timeout], r.Outcomes[record.Other] = 3, 3
			}, []string{"6 attempts ended with no answer, none in the model"},
		},
		{
			"a balance that is off", swap, func(r *reports.Report) { r.Balance.OK-- },
			[]string{"the balance is {"},
		},
		{
			"lost attempts", swap, func(r *reports.Report) {
				r.Balance.OK--
				r.Balance.Unaccounted++
			}, []string{"the balance is {"},
		},
		{
			"far more failures", swap, func(r *reports.Report) {
				r.Balance.OK -= 3000
				r.Balance.Failed += 3000
			}, []string{" attempts failed, modelled "},
		},
		{
			"pods in step", swap, func(r *reports.Report) {
				r.Propagation.P50, r.Propagation.P90 = 12.5, 13
			}, nil,
		},
		{
			"slow pods", slow, func(r *reports.Report) {
				r.Propagation.P50, r.Propagation.P90 = 12.5, 13
			}, []string{
				"propagation: 50 % within 12.5 s, modelled within",
				"propagation: 90 % within 13.0 s, modelled within",
			},
		},
		{"the law", law, func(*reports.Report) {}, nil},
		{
			"a slow node", law, func(r *reports.Report) { r.ByNode[1].P50 = 13 },
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

func TestTable(t *testing.T) {
	t.Parallel()
	same := harnesstest.Compare(t,
		harnesstest.Case{Scenario: "quick-leaf-rotation", Speed: 10}, sim.New(), sim.New())
	steered := changed(harnesstest.Compare(t,
		harnesstest.Case{Scenario: "sync-held", Speed: 60, Steered: true}, sim.New(), sim.New()),
		func(r *reports.Report) { r.Verdict = reports.Pass })
	table := harnesstest.Table("other", []harnesstest.Comparison{same, steered})
	assert.Contains(t, table, "| `quick-leaf-rotation --speed 10` | 48s | pass | 0 | 0 | ")
	assert.Contains(t, table, "| yes |\n")
	assert.Contains(t, table, "| steered | ")
	assert.Contains(t, table, "| the verdict is pass, modelled fail |\n")
}
