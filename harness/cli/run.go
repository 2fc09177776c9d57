package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/reports"
)

// runFlags are the flags of run.
type runFlags struct {
	sourceFlags
	backend string
	out     string
	quiet   bool
	verbose bool
}

func newRun(env *Env) *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "run FILE|NAME|DIR|-...",
		Short: "Run scenarios and write a rotation-safety report for each",
		Long: `Run performs each scenario on a backend and judges it. Each run is a folder that holds
plan.json, events.jsonl (the record), report.json, report.md, junit.xml, report.html and
plots/. Without --out it is runs/<scenario>-<seed>; with --out it is DIR, or a folder in
DIR for each scenario if there are several.

Ctrl-C ends a run in seconds and leaves a readable folder whose report is marked
incomplete. A second Ctrl-C ends the program at once.`,
		Example: `  certquake run akka-rotation
  certquake run ca-swap-bundle --set hold=65s --seed 7 --out /tmp/short-hold`,
		Args: needArgs("a scenario"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.run(cmd.Context(), env, args)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&flags.backend, "backend", env.Backends[0].Name(),
		"world to run in:"+env.names(" "))
	cmd.Flags().StringVar(&flags.out, "out", "", "`DIR` for the run folder")
	cmd.Flags().BoolVarP(&flags.quiet, "quiet", "q", false, "no progress, verdicts only")
	cmd.Flags().BoolVarP(&flags.verbose, "verbose", "v", false, "every finding, passed ones too")
	cmd.MarkFlagsMutuallyExclusive("quiet", "verbose")
	return cmd
}

func (f *runFlags) run(ctx context.Context, env *Env, args []string) error {
	backend, err := env.backend(f.backend)
	if err != nil {
		return err
	}
	jobs, err := f.load(env, args)
	if err != nil {
		return err
	}
	if err := check(backend, jobs); err != nil {
		return err
	}
	dirs, err := f.folders(jobs)
	if err != nil {
		return err
	}
	worst := ExitOK
	var all []*reports.Report
	for i, j := range jobs {
		report, err := f.perform(ctx, env, backend, j, dirs[i])
		if err != nil {
			return fmt.Errorf("%s: %w", j.plan.Scenario, err)
		}
		printVerdict(env.Stdout, report, dirs[i], f.reproduce(j), f.detail())
		all = append(all, report)
		worst = max(worst, report.ExitCode())
		if ctx.Err() != nil {
			break
		}
	}
	if len(jobs) > 1 {
		printSummary(env.Stdout, all, len(jobs))
	}
	if ctx.Err() != nil {
		return exit(ExitInconclusive)
	}
	return exit(worst)
}

func (f *runFlags) detail() detail {
	switch {
	case f.quiet:
		return terse
	case f.verbose:
		return full
	}
	return normal
}

// backend returns the backend of the name.
func (env *Env) backend(name string) (Backend, error) {
	for _, b := range env.Backends {
		if b.Name() == name {
			return b, nil
		}
	}
	return nil, usage(fmt.Errorf("no backend %q", name), "this build has:"+env.names(" "))
}

// check has the backend look at every plan before the first one starts.
func check(backend Backend, jobs []job) error {
	var problems []error
	for _, j := range jobs {
		if err := backend.Check(j.plan); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", j.source.name, err))
		}
	}
	return errors.Join(problems...)
}

// folders chooses the run folder of each job and refuses those that hold something else.
func (f *runFlags) folders(jobs []job) ([]string, error) {
	dirs := make([]string, len(jobs))
	seen := map[string]bool{}
	var problems []error
	for i, j := range jobs {
		name := j.plan.Scenario
		switch {
		case f.out == "":
			dirs[i] = filepath.Join("runs", fmt.Sprintf("%s-%d", name, f.seed))
		case len(jobs) == 1:
			dirs[i] = f.out
		default:
			dirs[i] = filepath.Join(f.out, name)
		}
		if seen[dirs[i]] {
			problems = append(problems, usage(
				fmt.Errorf("two scenarios are named %s and would share a run folder", name),
				"run them one by one with --out"))
		}
		seen[dirs[i]] = true
		problems = append(problems, vacant(dirs[i]))
	}
	return dirs, errors.Join(problems...)
}

// perform runs one job into its folder. An interrupted run is no error: its report says so.
func (f *runFlags) perform(
	ctx context.Context, env *Env, backend Backend, j job, dir string,
) (*reports.Report, error) {
	header := record.Header{
		Version: record.Version, Scenario: j.plan.Scenario, Digest: j.plan.Digest(), Seed: j.plan.Seed,
		Backend: backend.Name(), Basis: backend.Basis(), Base: j.plan.Start,
	}
	analyzer := reports.NewAnalyzer(j.plan, header)
	folder, err := openFolder(dir, j.plan, header)
	if err != nil {
		return nil, err
	}
	progress := newProgress(env.Stderr, j.plan, f.quiet)
	runErr := harness.Run(ctx, j.plan, backend, tee{folder, analyzer}, progress.report)
	progress.done(runErr)
	if err := folder.close(); err != nil {
		return nil, errors.Join(runErr, err)
	}
	if runErr != nil && ctx.Err() == nil {
		// The record up to here is kept and reads as incomplete.
		return nil, runErr
	}
	report, err := reports.Judge(analyzer.Finish())
	if err != nil {
		return nil, fmt.Errorf("judge: %w", err)
	}
	if err := reports.Render(dir, analyzer.Finish(), report); err != nil {
		return nil, fmt.Errorf("write the report: %w", err)
	}
	return report, nil
}

// tee hands every row to the record first, then to the analysis.
type tee struct{ record, analysis record.Sink }

func (t tee) Write(span record.Span) error {
	if err := t.record.Write(span); err != nil {
		return err
	}
	return t.analysis.Write(span)
}
