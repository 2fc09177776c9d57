package harnesstest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certquake/certquake/reports"
)

// none is the cell of what does not exist.
const none = "-"

// Table returns the truth as a Markdown table, for the README: a row for each case that some
// backend was tried with.
func (truth Truth) Table(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	write := func(cells ...string) { out.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	each := strings.Join(backends(), " | ")
	header := fmt.Sprintf("scenario | wall time | verdict | failed: sim | %s | "+
		"median propagation: law | sim | %s | the same: %s", each, each, each)
	write(header)
	write(strings.Repeat("--- | ", strings.Count(header, "|")) + "---")
	for _, c := range Cases() {
		if _, tried := truth.Model[c.String()]; tried {
			write(truth.row(t, c)...)
		}
	}
	return out.String()
}

// row returns the cells of a case.
func (truth Truth) row(t *testing.T, c Case) []string {
	t.Helper()
	model := truth.Model[c.String()]
	plan := c.Plan(t, 1)
	var verdicts, failed, medians, same []string
	for _, backend := range backends() {
		result, performed := truth.Real[backend][c.String()]
		if !performed {
			failed, medians = append(failed, none), append(medians, none)
			same = append(same, missing(c, backend))
			continue
		}
		verdict := string(result.Verdict)
		if because := plan.Expect.Because; because != "" {
			verdict += " (" + because + ")"
		}
		if !slices.Contains(verdicts, verdict) {
			verdicts = append(verdicts, verdict)
		}
		failed = append(failed, reports.Number(result.Balance.Failed))
		medians = append(medians, median(result.Propagation))
		compared := Comparison{Case: c, Model: model, Real: result, plan: plan}
		same = append(same, agreement(compared.Differences()))
	}
	law := "steered"
	if !c.Steered {
		law = median(reports.NewLaw(plan).Quantiles())
	}
	return slices.Concat(
		[]string{"`" + c.String() + "`", plan.Horizon.Round(time.Second).String()},
		[]string{strings.Join(verdicts, ", "), model.Failed.count()}, failed,
		[]string{law, median(model.Propagation)}, medians, same)
}

// missing says why a backend has no result of a case.
func missing(c Case, backend string) string {
	if !c.possible(backend) {
		return "not possible"
	}
	return "not tried"
}

func agreement(differences []string) string {
	if len(differences) == 0 {
		return "yes"
	}
	return strings.Join(differences, "; ")
}

// median writes the 50 % quantile.
func median(q reports.Quantiles) string {
	if q.Count == 0 {
		return "none"
	}
	return fmt.Sprintf("%.1f s", float64(q.P50))
}

// count writes a range of counts.
func (r Range) count() string {
	if r.Low == r.High {
		return reports.Number(int64(r.Low))
	}
	return reports.Number(int64(r.Low)) + " to " + reports.Number(int64(r.High))
}

// or lists statuses as alternatives.
func or(set []reports.Status) string {
	words := make([]string, 0, len(set))
	for _, status := range set {
		words = append(words, string(status))
	}
	return strings.Join(words, " or ")
}
