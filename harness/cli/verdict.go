package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/certquake/certquake/reports"
)

// detail is how much is printed of a report.
type detail int

const (
	terse  detail = iota // the verdict's line
	normal               // and what did not pass
	full                 // and what did
)

// printVerdict prints what a person needs of a report: the verdict, why, and where to look.
func printVerdict(w io.Writer, r *reports.Report, dir, reproduce string, d detail) {
	fmt.Fprintf(w, "%s: %s\n", r.Scenario, headline(r))
	if d == terse {
		return
	}
	for _, f := range r.Findings {
		if d == full || f.Status != reports.Pass {
			fmt.Fprintf(w, "  %-12s  %-15s  %s\n", f.Status, f.ID, f.Reason)
		}
	}
	for _, c := range r.Conditions {
		if d == full || c.Status != reports.Pass {
			fmt.Fprintf(w, "  %-12s  %-15s  %s\n", c.Status, c.Name, c.Reason)
		}
	}
	b := r.Balance
	fmt.Fprintf(w, "  attempts      %d scheduled = %d ok + %d failed + %d skipped\n",
		b.Scheduled, b.OK, b.Failed, b.Skipped)
	if b.Failed > 0 {
		fmt.Fprintf(w, "  worst moment  at %.1f s: %d of %d pairs broken; %.1f s of outage in all\n",
			r.Worst.At, r.Worst.Broken, r.Worst.Pairs, r.Outage)
	}
	fmt.Fprintf(w, "  report        %s\n", filepath.Join(dir, reports.HTMLFile))
	fmt.Fprintf(w, "  reproduce     %s\n", reproduce)
}

// headline is the verdict in a few words.
func headline(r *reports.Report) string {
	words := strings.ToUpper(string(r.Verdict))
	switch {
	case !r.Complete:
		return words + ", the run is incomplete"
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

// printSummary prints a line that counts several runs.
func printSummary(w io.Writer, all []*reports.Report, planned int) {
	expected := 0
	for _, r := range all {
		if r.AsExpected {
			expected++
		}
	}
	fmt.Fprintf(w, "%d of %d scenarios ended as expected\n", expected, planned)
}
