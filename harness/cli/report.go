package cli

import (
	"github.com/spf13/cobra"

	"github.com/certquake/certquake/reports"
)

func newReport(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "report RUNDIR...",
		Short: "Compute a run folder's report again from its plan and record",
		Long: `Report reads plan.json and events.jsonl of a run folder and writes report.json,
report.md, junit.xml, report.html and the plots anew. The record of a run that was
interrupted or killed reads up to its last whole row; its report is marked incomplete.

The exit code is that of the run.`,
		Example: `  certquake report runs/akka-rotation-1
  certquake report runs/*`,
		Args: needArgs("a run folder"),
		RunE: func(_ *cobra.Command, args []string) error {
			worst := ExitOK
			for _, dir := range args {
				report, err := reports.Rebuild(dir)
				if err != nil {
					return usage(err, "a run folder is what certquake run wrote: --out DIR")
				}
				printVerdict(env.Stdout, report, dir, report.Reproduce, normal)
				worst = max(worst, report.ExitCode())
			}
			return exit(worst)
		},
	}
}

// exit returns an error that carries the code, nil for success.
func exit(code int) error {
	if code == ExitOK {
		return nil
	}
	return &exitError{code}
}
