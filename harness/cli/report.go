package cli

import (
	"errors"

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

The exit code is that of the run, 3 if it is incomplete, 2 if a folder cannot be read.`,
		Example: `  certquake report runs/akka-rotation-1
  certquake report runs/*`,
		Args:              needArgs("a run folder", "certquake report runs/akka-rotation-1"),
		ValidArgsFunction: completeFolders,
		RunE: func(cmd *cobra.Command, args []string) error {
			code := ExitOK
			var problems []error
			for _, dir := range args {
				if cmd.Context().Err() != nil {
					return errors.Join(append(problems, errInterrupted)...)
				}
				report, err := reports.Rebuild(dir)
				if err != nil {
					problems = append(problems, reportError(err))
					continue
				}
				printVerdict(env.Stdout, report, dir, report.Reproduce, normal)
				code = worse(code, exitCode(report))
			}
			if err := errors.Join(problems...); err != nil {
				return err
			}
			return exit(code)
		},
	}
}

// reportError marks the error of a folder that is no run folder as the caller's.
func reportError(err error) error {
	if errors.Is(err, reports.ErrNotRun) {
		return usage(err, "give a folder that certquake run wrote, such as runs/akka-rotation-1")
	}
	return err
}

// exitCode returns the code of a run. One that is incomplete proves nothing, whatever was expected.
func exitCode(r *reports.Report) int {
	if !r.Complete {
		return ExitInconclusive
	}
	return r.ExitCode()
}

// worse returns the exit code of two runs together: as in a verdict, what failed outweighs what is
// inconclusive.
func worse(a, b int) int {
	for _, code := range []int{ExitUsage, ExitFail, ExitInconclusive} {
		if a == code || b == code {
			return code
		}
	}
	return ExitOK
}
