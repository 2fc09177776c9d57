package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/certquake/certquake/reports"
)

// detail is how much is told of a run.
type detail int

const (
	terse  detail = iota // the verdict's line
	normal               // and what did not pass
	full                 // and what did
)

// printVerdict prints what a person needs of a report: the verdict, why, and where to look.
func printVerdict(w io.Writer, r *reports.Report, dir, reproduce string, d detail) {
	tell(w, "%s: %s\n", r.Scenario, headline(r))
	if d == terse {
		return
	}
	for _, f := range r.Findings {
		printFinding(w, r, f.Status, string(f.ID), f.Reason, d)
	}
	for _, c := range r.Conditions {
		printFinding(w, r, c.Status, c.Name, c.Reason, d)
	}
	b := r.Balance
	item(w, "attempts", fmt.Sprintf("%s scheduled = %s ok + %s failed + %s skipped",
		reports.Number(b.Scheduled), reports.Number(b.OK), reports.Number(b.Failed),
		reports.Number(b.Skipped)))
	if b.Unaccounted != 0 {
		item(w, "", reports.Number(b.Unaccounted)+" unaccounted for")
	}
	if r.Worst.Broken > 0 {
		item(w, "worst moment", fmt.Sprintf("at %s: %s of %s pairs broken; %s of outage in all",
			moment(r.Worst.At), reports.Number(int64(r.Worst.Broken)),
			reports.Number(int64(r.Worst.Pairs)),
			moment(r.Outage)))
	}
	// These two are for copying: they are not wrapped.
	tell(w, "  %-12s  %s\n", "report", filepath.Join(dir, reports.HTMLFile))
	tell(w, "  %-12s  %s\n", "reproduce", reproduce)
}

// printFinding prints one finding if the detail asks for it. An incomplete run leaves everything
// inconclusive for the one reason that its headline has, so only its failures are worth telling.
func printFinding(
	w io.Writer, r *reports.Report, status reports.Status, id, reason string, d detail,
) {
	if d == full || status == reports.Fail || status == reports.Inconclusive && r.Complete {
		printWrapped(w, fmt.Sprintf("  %-12s  %-15s  ", status, id), reason)
	}
}

// item prints one line of the verdict's list.
func item(w io.Writer, name, text string) {
	printWrapped(w, fmt.Sprintf("  %-12s  ", name), text)
}

// headline is the verdict in a few words.
func headline(r *reports.Report) string {
	words := strings.ToUpper(string(r.Verdict))
	switch {
	case !r.Complete:
		return fmt.Sprintf("%s, the run is incomplete: %s of %s", words, moment(r.Reached),
			moment(r.Horizon))
	case !r.AsExpected && r.Expected.Because != "":
		return fmt.Sprintf("%s, expected %s because of %s", words, r.Expected.Verdict,
			r.Expected.Because)
	case !r.AsExpected:
		return fmt.Sprintf("%s, expected %s", words, r.Expected.Verdict)
	case r.Verdict != reports.Pass && r.Expected.Because != "":
		return fmt.Sprintf("%s, as expected (%s)", words, r.Expected.Because)
	case r.Verdict != reports.Pass:
		return words + ", as expected"
	}
	return words
}

// tally counts the runs of one command.
type tally struct {
	code     int
	expected int
	other    []string // scenarios that did not end as expected
}

// add counts a run with its exit code.
func (t *tally) add(scenario string, code int) {
	t.code = worse(t.code, code)
	if code == ExitOK {
		t.expected++
		return
	}
	t.other = append(t.other, scenario)
}

// print prints a line that counts several runs and names those that need a look.
func (t *tally) print(w io.Writer, planned int) {
	line := fmt.Sprintf("%d of %d scenarios ended as expected", t.expected, planned)
	if len(t.other) > 0 {
		line += "; not so: " + strings.Join(t.other, ", ")
	}
	if missing := planned - t.expected - len(t.other); missing > 0 {
		line += fmt.Sprintf("; not started: %d", missing)
	}
	printWrapped(w, "", line)
}
