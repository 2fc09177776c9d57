package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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
	set  []string
	seed uint64
}

func (f *sourceFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.set, "set", nil,
		"set a param of the scenario, as `param=value`; may be repeated")
	cmd.Flags().Uint64Var(&f.seed, "seed", 1, "seed of all dice")
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
		data, err := io.ReadAll(env.Stdin)
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
		data, err := os.ReadFile(arg)
		if err != nil {
			return nil, usage(fmt.Errorf("read scenario: %w", err), "")
		}
		return []source{{arg, arg, data, os.DirFS(filepath.Dir(arg))}}, nil
	}
	data, err := scenarios.Read(arg)
	if err != nil {
		return nil, usage(fmt.Errorf("not a file, nor a folder: %w", err),
			"certquake list names the library's scenarios")
	}
	return []source{{arg + ".yaml", arg, data, scenarios.Library()}}, nil
}

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
		if entry.IsDir() || ext != ".yaml" && ext != ".yml" {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, usage(fmt.Errorf("read scenario: %w", err), "")
		}
		if scenarios.IsScenario(data) {
			found = append(found, source{path, path, data, os.DirFS(dir)})
		}
	}
	if len(found) == 0 {
		return nil, usage(fmt.Errorf("%s: no scenario file (*.yaml with apiVersion %s)",
			dir, scenarios.APIVersion), "")
	}
	return found, nil
}

// job is one plan to perform.
type job struct {
	source source
	plan   scenarios.Plan
}

// load parses and plans everything the arguments name, and reports every problem of every file at
// once.
func (f *sourceFlags) load(env *Env, args []string) ([]job, error) {
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
		plan, err := planOf(s, params, f.seed)
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

func planOf(s source, params map[string]string, seed uint64) (scenarios.Plan, error) {
	parsed, err := scenarios.Parse(s.name, s.data, s.files, params)
	if err != nil {
		return scenarios.Plan{}, err
	}
	plan, err := parsed.Plan(seed)
	if err != nil {
		return scenarios.Plan{}, fmt.Errorf("%s: %w", s.name, err)
	}
	if err := reports.CheckConditions(plan); err != nil {
		return scenarios.Plan{}, fmt.Errorf("%s: %w", s.name, err)
	}
	return plan, nil
}

// reproduce returns the command line that repeats a job.
func (f *runFlags) reproduce(j job) string {
	line := fmt.Sprintf("certquake run %s --backend %s --seed %d", j.source.arg, f.backend, f.seed)
	for _, pair := range f.set {
		line += " --set " + pair
	}
	return line
}
