package cli

import (
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
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return usage(fmt.Errorf("run folder: %w", err), "choose another --out")
	case len(entries) == 0:
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, reports.PlanFile)); err != nil {
		return usage(fmt.Errorf("%s is not empty and not a run folder", dir),
			"choose another --out")
	}
	return nil
}

// openFolder makes the run folder, takes an earlier run's files out of it and writes the plan.
func openFolder(dir string, plan scenarios.Plan, header record.Header) (*folder, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the run folder: %w", err)
	}
	for _, name := range reports.Files() {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return nil, fmt.Errorf("clear the run folder: %w", err)
		}
	}
	data, err := plan.JSON()
	if err != nil {
		return nil, fmt.Errorf("encode the plan: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, reports.PlanFile), data, 0o644); err != nil {
		return nil, fmt.Errorf("write the plan: %w", err)
	}
	file, err := os.Create(filepath.Join(dir, reports.RecordFile))
	if err != nil {
		return nil, fmt.Errorf("create the record: %w", err)
	}
	writer, err := record.NewWriter(file, header)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &folder{writer, file}, nil
}

// close writes out what is buffered.
func (f *folder) close() error {
	return errors.Join(f.Flush(), f.file.Close())
}
