package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/reports"
	"github.com/certquake/certquake/scenarios"
)

// runFlags are the flags of run.
type runFlags struct {
	sourceFlags
	backend string
	out     string
	quiet   bool
	verbose bool

	settings []string // of the backend, as anybody may read them
}

func newRun(env *Env) *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "run FILE|NAME|DIR|-...",
		Short: "Run scenarios and write a rotation-safety report for each",
		Long: `Run performs each scenario on a backend and judges it. Each run is a folder that
holds plan.json, events.jsonl (the record), report.json, report.md, junit.xml,
report.html and plots/. Without --out it is runs/<scenario>-<seed>; with --out it is
DIR, or a folder in DIR for each scenario if there are several. An earlier run in it is
replaced.

With --speed 10 every duration of the scenario is a tenth, so that a world in wall time
takes minutes instead of an hour. Dials, issuances and certificates' lifetimes stay as
they are; a scenario that would then mean something else is refused.

A scenario is a file, a name that certquake list shows, every scenario file in a folder,
or - for standard input. All are checked before the first one starts.

Ctrl-C ends a run in seconds and leaves a readable folder whose report is marked
incomplete. A second Ctrl-C, a second later, ends the program at once.`,
		Example: `  certquake run akka-rotation
  certquake run ca-swap-bundle --set hold=65s --seed 7 --out /tmp/short-hold || echo unsafe`,
		Args:              needScenario,
		ValidArgsFunction: completeScenarios,
		RunE: func(cmd *cobra.Command, args []string) error {
			return flags.run(cmd, env, args)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&flags.backend, "backend", env.Backends[0].Name(),
		"world to run in: "+strings.Join(env.names(), ", "))
	cmd.Flags().StringVar(&flags.out, "out", "", "`DIR` to write the run to")
	cmd.Flags().BoolVarP(&flags.quiet, "quiet", "q", false, "no progress, verdicts only")
	cmd.Flags().BoolVarP(&flags.verbose, "verbose", "v", false,
		"progress of every action, and every finding, passed ones too")
	env.addSettings(cmd)
	// The errors of these two are of flags that do not exist.
	_ = cmd.RegisterFlagCompletionFunc("backend", completeFrom(env.names()))
	_ = cmd.MarkFlagDirname("out")
	return cmd
}

func (f *runFlags) run(cmd *cobra.Command, env *Env, args []string) error {
	ctx := cmd.Context()
	if f.quiet && f.verbose {
		return usage(errors.New("--quiet and --verbose exclude each other"), "drop one of them")
	}
	backend, err := env.backend(f.backend)
	if err != nil {
		return err
	}
	if err = env.foreign(cmd, backend); err != nil {
		return err
	}
	f.settings = shown(cmd, backend)
	jobs, err := f.load(ctx, env, args)
	if err != nil {
		return err
	}
	if err = check(backend, jobs); err != nil {
		return err
	}
	dirs, err := f.folders(jobs)
	if err != nil {
		return err
	}
	return f.performAll(ctx, env, backend, jobs, dirs)
}

// performAll runs the jobs one after the other. One that ends with an error does not keep the
// others from running, an interrupt does.
func (f *runFlags) performAll(
	ctx context.Context, env *Env, backend Backend, jobs []job, dirs []string,
) error {
	var runs tally
	var problems []error
	started := 0
	for i, j := range jobs {
		if ctx.Err() != nil {
			break
		}
		started++
		report, err := f.perform(ctx, env, backend, j, dirs[i])
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", j.plan.Scenario, err))
		}
		if report == nil {
			runs.add(j.plan.Scenario, ExitFail)
			continue
		}
		printVerdict(env.Stdout, report, dirs[i], f.reproduce(j), f.detail())
		runs.add(j.plan.Scenario, exitCode(report))
	}
	if len(jobs) > 1 {
		runs.print(env.Stdout, len(jobs))
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	if started < len(jobs) {
		runs.code = ExitInconclusive
	}
	return exit(runs.code)
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
	return nil, usage(fmt.Errorf("no backend %q", name),
		"this build has --backend "+strings.Join(env.names(), ", "))
}

// check has the backend look at every plan before the first one starts.
func check(backend Backend, jobs []job) error {
	var problems []error
	for _, j := range jobs {
		if err := backend.Check(j.plan); err != nil {
			problems = append(problems, each(j.source.name, err))
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

// perform runs one job into its folder and reports on it. A run that is interrupted is no error:
// its report says so. One that fails has an error, and a report of what there is.
func (f *runFlags) perform(
	ctx context.Context, env *Env, backend Backend, j job, dir string,
) (*reports.Report, error) {
	header := record.Header{
		Version: record.Version, Scenario: j.plan.Scenario, Digest: j.plan.Digest(),
		Seed: j.plan.Seed, Backend: backend.Name(), Basis: backend.Basis(), Base: j.plan.Start,
		Settings: f.settings,
	}
	folder, err := openFolder(dir, j.plan, header)
	if err != nil {
		return nil, err
	}
	analyzer := reports.NewAnalyzer(j.plan, header)
	progress := newProgress(env.Stderr, j.plan, f.detail())
	ctx = harness.WithTalk(ctx, func(line string) { progress.say("%s", line) })
	runErr := harness.Run(ctx, j.plan, backend, record.Tee(folder, analyzer),
		func(at time.Duration, action *scenarios.Action) {
			folder.keep(action)
			progress.report(at, action)
		})
	progress.done(runErr)
	begun := folder.begun()
	if !begun && failure(ctx, runErr) == nil {
		runErr = errInterrupted
	}
	runErr = errors.Join(failure(ctx, runErr), folder.close())
	if !begun {
		progress.say("%s keeps the earlier run", dir)
		return nil, runErr
	}
	report, err := write(dir, analyzer.Finish())
	return report, errors.Join(runErr, err)
}

// failure returns the error of a run that was not interrupted.
func failure(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// write judges the analysis and writes the report into the run folder.
func write(dir string, analysis *reports.Analysis) (*reports.Report, error) {
	report, err := reports.Judge(analysis)
	if err != nil {
		return nil, fmt.Errorf("judge: %w", err)
	}
	if err := reports.Render(dir, analysis, report); err != nil {
		return nil, fmt.Errorf("write the report: %w", err)
	}
	return report, nil
}
