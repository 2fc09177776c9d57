package reports

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// ErrNotRun is wrapped by Rebuild's error when the folder is missing, is no run folder, or holds a
// plan or a record that cannot be read or that belong to different runs.
var ErrNotRun = errors.New("not a run folder")

// Rebuild computes the report of a run folder anew from its plan and record, writes it there, and
// returns it. A record that ends early, as a crash leaves it, is reported as incomplete. Its error
// wraps ErrNotRun when there is nothing to report on; then nothing is written.
func Rebuild(dir string) (*Report, error) {
	analysis, err := load(dir)
	if err != nil {
		return nil, fmt.Errorf("report on %s: %w", dir, err)
	}
	report, err := Judge(analysis)
	if err != nil {
		return nil, fmt.Errorf("report on %s: %w", dir, err)
	}
	if err := Render(dir, analysis, report); err != nil {
		return nil, fmt.Errorf("report on %s: %w", dir, err)
	}
	return report, nil
}

// load reads and analyses a run folder.
func load(dir string) (*Analysis, error) {
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: there is no such folder", ErrNotRun)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNotRun, err)
	case !info.IsDir():
		return nil, fmt.Errorf("%w: it is a file; give the folder that holds it", ErrNotRun)
	}
	plan, err := loadPlan(filepath.Join(dir, PlanFile))
	if err != nil {
		return nil, err
	}
	return loadRecord(filepath.Join(dir, RecordFile), plan)
}

// loadPlan reads plan.json.
func loadPlan(path string) (scenarios.Plan, error) {
	var plan scenarios.Plan
	data, err := os.ReadFile(path) //nolint:gosec // in the folder the user named
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return plan, fmt.Errorf("%w: it has no %s", ErrNotRun, PlanFile)
	case err != nil:
		return plan, fmt.Errorf("%w: %w", ErrNotRun, err)
	case len(data) == 0:
		return plan, fmt.Errorf("%w: %s is empty", ErrNotRun, PlanFile)
	}
	if err := json.Unmarshal(data, &plan); err != nil {
		return plan, fmt.Errorf("%w: %s: %w", ErrNotRun, PlanFile, err)
	}
	if plan.Scenario == "" || plan.Horizon <= 0 {
		return plan, fmt.Errorf("%w: %s is not a plan: it names no scenario or no horizon",
			ErrNotRun, PlanFile)
	}
	return plan, nil
}

// loadRecord reads and analyses events.jsonl.
func loadRecord(path string, plan scenarios.Plan) (_ *Analysis, err error) {
	file, err := os.Open(path) //nolint:gosec // in the folder the user named
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: it has no %s", ErrNotRun, RecordFile)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNotRun, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	reader, err := record.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNotRun, RecordFile, err)
	}
	if digest := plan.Digest(); reader.Header.Digest != digest {
		return nil, fmt.Errorf("%w: %s is the record of another plan: it names %s, %s is %s",
			ErrNotRun, RecordFile, reader.Header.Digest, PlanFile, digest)
	}
	return Analyze(plan, reader.Header, reader.Spans())
}
