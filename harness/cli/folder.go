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

// folder is a run folder while its run writes the record. It is a record.Sink. An earlier run in it
// stays until this one has begun: one whose world never comes up loses nothing.
type folder struct {
	dir    string
	plan   scenarios.Plan
	header record.Header
	lock   *os.File       // keeps other runs out; nil where locks are not to be had
	writer *record.Writer // nil until the run has begun
	file   *os.File
}

// lockFile is locked by the run that goes on in a folder, and removed in the end.
const lockFile = ".running"

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

// openFolder makes the run folder. One without an earlier run gets the plan and the record's header
// at once, so that whatever happens next the folder can be read. After an error a new folder is
// gone again.
func openFolder(dir string, plan scenarios.Plan, header record.Header) (*folder, error) {
	_, err := os.Stat(dir)
	fresh := errors.Is(err, fs.ErrNotExist)
	//nolint:gosec // a run is there to be read by others, and holds no secret
	if err = os.MkdirAll(dir, 0o755); err != nil {
		return nil, usage(fmt.Errorf("make the run folder: %w", err), "choose another --out")
	}
	f := &folder{dir: dir, plan: plan, header: header}
	if err = f.occupy(); err == nil && checkRun(dir) != nil {
		err = f.begin()
	}
	if err == nil {
		return f, nil
	}
	err = errors.Join(err, f.close())
	if fresh {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return nil, err
}

// occupy keeps other runs out of the folder, as long as this one lives.
func (f *folder) occupy() error {
	//nolint:gosec // in the folder the user named
	lock, err := os.OpenFile(filepath.Join(f.dir, lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return usage(fmt.Errorf("occupy the run folder: %w", err), "choose another --out")
	}
	free, err := tryLock(lock, false)
	if err != nil { // no locks here
		return errors.Join(lock.Close(), os.Remove(lock.Name()))
	}
	if !free {
		return errors.Join(usage(fmt.Errorf("a run is going on in %s", f.dir),
			"wait for it, or choose another --out"), lock.Close())
	}
	f.lock = lock
	return nil
}

// begin takes an earlier run's files out of the folder and writes the plan and the record's header.
func (f *folder) begin() error {
	for _, name := range reports.Files() {
		if err := os.RemoveAll(filepath.Join(f.dir, name)); err != nil {
			return usage(fmt.Errorf("clear the run folder: %w", err), "choose another --out")
		}
	}
	data, err := f.plan.JSON()
	if err != nil {
		return fmt.Errorf("encode the plan: %w", err)
	}
	//nolint:gosec // as above
	if err = os.WriteFile(filepath.Join(f.dir, reports.PlanFile), data, 0o644); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	if f.file, err = os.Create(filepath.Join(f.dir, reports.RecordFile)); err != nil {
		return fmt.Errorf("create the record: %w", err)
	}
	writer, err := record.NewWriter(f.file, f.header)
	if err != nil {
		return err
	}
	f.writer = writer
	return writer.Flush()
}

// begun reports whether the folder is this run's.
func (f *folder) begun() bool { return f.writer != nil }

// Write implements record.Sink. Why a run never began is no reason to lose an earlier one.
func (f *folder) Write(span record.Span) error {
	if !f.begun() {
		if span.Kind == record.Lost {
			return nil
		}
		if err := f.begin(); err != nil {
			return err
		}
	}
	return f.writer.Write(span)
}

// close writes out what is buffered, and lets other runs in.
func (f *folder) close() error {
	var err error
	if f.begun() {
		err = f.writer.Flush()
	}
	if f.file != nil {
		err = errors.Join(err, f.file.Close())
	}
	if f.lock != nil {
		err = errors.Join(err, os.Remove(f.lock.Name()), f.lock.Close())
	}
	return err
}

// keep writes out what is buffered at each step between actions, so that a kill loses little.
func (f *folder) keep(action *scenarios.Action) {
	if action == nil && f.begun() {
		_ = f.writer.Flush() // the writer returns its first error again with the next row
	}
}
