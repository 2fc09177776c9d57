package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/certquake/certquake/reports"
	"github.com/certquake/certquake/scenarios"
)

// stdinName is the argument that means standard input.
const stdinName = "-"

// source is one scenario file, not yet parsed.
type source struct {
	name  string // for problems, as file names are given
	arg   string // for the reproduce line
	data  []byte
	files fs.FS // the folder beside it, for its manifests
}

// sourceFlags are the flags that change what a scenario file says.
type sourceFlags struct {
	set   []string
	seed  seed
	speed speed
}

func (f *sourceFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.set, "set", nil,
		"set a param of the scenario, as `param=value`; may be repeated")
	f.seed = 1
	cmd.Flags().Var(&f.seed, "seed", "seed of all dice, a `number` from 0")
	f.speed = 1
	cmd.Flags().Var(&f.speed, "speed",
		"divide the scenario's durations by `times`, a number from 1")
}

// seed is the value of --seed.
type seed uint64

// String returns the number.
func (s *seed) String() string { return strconv.FormatUint(uint64(*s), 10) }

// Type names the value in help.
func (s *seed) Type() string { return "number" }

// Set reads the number.
func (s *seed) Set(text string) error {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("not a whole number from 0 to %d", uint64(math.MaxUint64))
	}
	*s = seed(n)
	return nil
}

// speed is the value of --speed.
type speed float64

// String returns the number.
func (s *speed) String() string { return scenarios.FormatSpeed(float64(*s)) }

// Type names the value in help.
func (s *speed) Type() string { return "times" }

// Set reads the number.
func (s *speed) Set(text string) error {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 1) || math.IsInf(n, 0) {
		return errors.New("not a number from 1, such as 10 or 2.5")
	}
	*s = speed(n)
	return nil
}

// params returns the --set flags as a map.
func (f *sourceFlags) params() (map[string]string, error) {
	params := map[string]string{}
	for _, pair := range f.set {
		name, value, found := strings.Cut(pair, "=")
		if !found || name == "" {
			return nil, usage(fmt.Errorf("--set %q is not param=value", pair),
				"--set hold=400s")
		}
		params[name] = value
	}
	return params, nil
}

// collect finds the scenarios that the arguments name: files, folders of files, names of the
// library, or "-" for standard input.
func collect(env *Env, args []string) ([]source, error) {
	var found []source
	var problems []error
	for _, arg := range args {
		some, err := collectOne(env, arg)
		found = append(found, some...)
		problems = append(problems, err)
	}
	return found, errors.Join(problems...)
}

func collectOne(env *Env, arg string) ([]source, error) {
	if arg == stdinName {
		data, err := io.ReadAll(io.LimitReader(env.Stdin, scenarios.InputMax+1))
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		return []source{{"<stdin>", arg, data, os.DirFS(".")}}, nil
	}
	info, err := os.Stat(arg)
	switch {
	case err == nil && info.IsDir():
		return collectDir(arg)
	case err == nil:
		return collectFile(arg)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, usage(fmt.Errorf("read scenario: %w", err), "")
	case filepath.Base(arg) != arg:
		return nil, usage(fmt.Errorf("%s: no such file or folder", arg), sourceHint)
	}
	data, err := scenarios.Read(arg)
	if err != nil {
		return nil, usage(fmt.Errorf("not a file, nor a folder: %w", err), sourceHint)
	}
	return []source{{arg + ".yaml", arg, data, scenarios.Library()}}, nil
}

func collectFile(path string) ([]source, error) {
	data, err := readBounded(path)
	if err != nil {
		return nil, usage(fmt.Errorf("read scenario: %w", err), "")
	}
	return []source{{path, path, data, os.DirFS(filepath.Dir(path))}}, nil
}

// readBounded reads a file, but not more of it than shows that it is too large.
func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // the file, or in the folder, the user named
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return io.ReadAll(io.LimitReader(file, scenarios.InputMax+1))
}

// sourceHint says what a scenario argument may be.
const sourceHint = "give a scenario file, a folder of them, or a name that certquake list shows"

// collectDir returns the folder's scenario files: those .yaml files that say they are scenarios.
// Others, such as manifests beside them, are left alone.
func collectDir(dir string) ([]source, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, usage(fmt.Errorf("read folder: %w", err), "")
	}
	var found []source
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		ext := filepath.Ext(path)
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() ||
			ext != ".yaml" && ext != ".yml" {
			continue
		}
		data, err := readBounded(path)
		if err != nil {
			return nil, usage(fmt.Errorf("read scenario: %w", err), "")
		}
		if scenarios.IsScenario(data) {
			found = append(found, source{path, path, data, os.DirFS(dir)})
		}
	}
	if len(found) == 0 {
		if checkRun(dir) == nil {
			return nil, usage(fmt.Errorf("%s: is a run folder, not one of scenarios", dir),
				reports.CommandLine("certquake", "report", dir))
		}
		return nil, usage(fmt.Errorf("%s: no scenario file (*.yaml with apiVersion %s)",
			dir, scenarios.APIVersion), sourceHint)
	}
	return found, nil
}

// job is one plan to perform.
type job struct {
	source source
	plan   scenarios.Plan
}

// load parses and plans everything the arguments name, and reports every problem of every file at
// once. An interrupt ends it at once.
func (f *sourceFlags) load(ctx context.Context, env *Env, args []string) ([]job, error) {
	jobs, err := await(ctx, 0, func() ([]job, error) { return f.plans(env, args) })
	if errors.Is(err, errAbandoned) {
		return nil, fmt.Errorf("%w before anything was run", errInterrupted)
	}
	return jobs, err
}

func (f *sourceFlags) plans(env *Env, args []string) ([]job, error) {
	params, err := f.params()
	if err != nil {
		return nil, err
	}
	sources, err := collect(env, args)
	if err != nil {
		return nil, err
	}
	var jobs []job
	var problems []error
	for _, s := range sources {
		plan, err := f.planOf(s, params)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		jobs = append(jobs, job{s, plan})
	}
	if err := errors.Join(problems...); err != nil {
		return nil, usage(err, "")
	}
	return jobs, nil
}

func (f *sourceFlags) planOf(s source, params map[string]string) (scenarios.Plan, error) {
	parsed, err := scenarios.Parse(s.name, s.data, s.files, params)
	if err != nil {
		return scenarios.Plan{}, err
	}
	plan, err := parsed.Plan(uint64(f.seed))
	if err != nil {
		return scenarios.Plan{}, fmt.Errorf("%s: %w", s.name, err)
	}
	if err = reports.CheckConditions(plan); err != nil {
		return scenarios.Plan{}, fmt.Errorf("%s: %w", s.name, err)
	}
	fast, err := plan.Faster(float64(f.speed))
	return fast, each(s.name, err)
}

// each puts the name before every one of joined errors, so that each line of them has it.
func each(name string, err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
		return err
	}
	var named []error
	for _, one := range joined.Unwrap() {
		named = append(named, fmt.Errorf("%s: %w", name, one))
	}
	return errors.Join(named...)
}

// reproduce returns the command line that repeats a job.
func (f *runFlags) reproduce(j job) string {
	words := []string{"certquake", "run", j.source.arg, "--backend", f.backend}
	words = append(words, f.settings...)
	words = append(words, "--seed", f.seed.String())
	if f.speed != 1 {
		words = append(words, "--speed", f.speed.String())
	}
	for _, pair := range f.set {
		words = append(words, "--set", pair)
	}
	return reports.CommandLine(words...)
}
