package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/reports"
	"github.com/certquake/certquake/scenarios"
)

// folder is a run folder while its run writes the record.
type folder struct {
	*record.Writer
	file *os.File
}

// vacant refuses a folder that holds anything but an earlier run.
func vacant(dir string) error {
	const hint = "choose another --out"
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return usage(fmt.Errorf("run folder: %w", err), hint)
	case len(entries) == 0:
		return nil
	}
	if err := checkRun(dir); err != nil {
		return usage(fmt.Errorf("%s is not empty and not a run folder: %w", dir, err), hint)
	}
	return nil
}

// checkRun returns why a folder is no run folder, nil for one that is.
func checkRun(dir string) error {
	var plan scenarios.Plan
	//nolint:gosec // in the folder the user named
	data, err := os.ReadFile(filepath.Join(dir, reports.PlanFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("it has no %s", reports.PlanFile)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &plan); err != nil || plan.Scenario == "" {
		return fmt.Errorf("its %s is not a plan of certquake", reports.PlanFile)
	}
	return nil
}

// openFolder makes the run folder, takes an earlier run's files out of it and writes the plan and
// the record's header, so that whatever happens next the folder can be read. After an error a new
// folder is gone again.
func openFolder(dir string, plan scenarios.Plan, header record.Header) (*folder, error) {
	_, err := os.Stat(dir)
	fresh := errors.Is(err, fs.ErrNotExist)
	//nolint:gosec // a run is there to be read by others, and holds no secret
	if err = os.MkdirAll(dir, 0o755); err != nil {
		return nil, usage(fmt.Errorf("make the run folder: %w", err), "choose another --out")
	}
	f, err := begin(dir, plan, header)
	if err != nil && fresh {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return f, err
}

func begin(dir string, plan scenarios.Plan, header record.Header) (*folder, error) {
	for _, name := range reports.Files() {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return nil, usage(fmt.Errorf("clear the run folder: %w", err), "choose another --out")
		}
	}
	data, err := plan.JSON()
	if err != nil {
		return nil, fmt.Errorf("encode the plan: %w", err)
	}
	//nolint:gosec // as above
	if err = os.WriteFile(filepath.Join(dir, reports.PlanFile), data, 0o644); err != nil {
		return nil, fmt.Errorf("write the plan: %w", err)
	}
	//nolint:gosec // in the folder the user named
	file, err := os.Create(filepath.Join(dir, reports.RecordFile))
	if err != nil {
		return nil, fmt.Errorf("create the record: %w", err)
	}
	writer, err := record.NewWriter(file, header)
	if err == nil {
		err = writer.Flush()
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &folder{writer, file}, nil
}

// close writes out what is buffered.
func (f *folder) close() error {
	return errors.Join(f.Flush(), f.file.Close())
}

// keep writes out what is buffered at each step between actions, so that a kill loses little.
func (f *folder) keep(action *scenarios.Action) {
	if action == nil {
		_ = f.Flush() // the writer returns its first error again with the next row
	}
}
