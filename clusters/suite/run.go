package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/reports"
	"github.com/certquake/certquake/scenarios"
)

// run performs a plan into a run folder, and reports on what there is of it, whatever happened.
func run(
	ctx context.Context, plan scenarios.Plan, backend Performer, dir string,
) (*reports.Report, error) {
	header := record.Header{
		Version: record.Version, Scenario: plan.Scenario, Digest: plan.Digest(),
		Seed: plan.Seed, Backend: backend.Name(), Basis: backend.Basis(), Base: plan.Start,
	}
	if err := prepare(dir, plan); err != nil {
		return nil, err
	}
	file, err := os.Create(filepath.Join(dir, reports.RecordFile)) //nolint:gosec // as in prepare
	if err != nil {
		return nil, fmt.Errorf("create the record: %w", err)
	}
	writer, err := record.NewWriter(file, header)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	analyzer := reports.NewAnalyzer(plan, header)
	err = harness.Run(ctx, plan, backend, record.Tee(writer, analyzer), nil)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	err = errors.Join(err, writer.Flush(), file.Close())
	analysis := analyzer.Finish()
	report, judged := reports.Judge(analysis)
	if judged != nil {
		return nil, errors.Join(err, fmt.Errorf("judge: %w", judged))
	}
	return report, errors.Join(err, reports.Render(dir, analysis, report))
}

// prepare makes a run folder and writes the plan into it. An earlier run's files are removed,
// nothing else is.
func prepare(dir string, plan scenarios.Plan) error {
	//nolint:gosec // a run is there to be read by others, and holds no secret
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the run folder: %w", err)
	}
	for _, name := range reports.Files() {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("clear the run folder: %w", err)
		}
	}
	data, err := plan.JSON()
	if err != nil {
		return fmt.Errorf("encode the plan: %w", err)
	}
	//nolint:gosec // as above
	if err := os.WriteFile(filepath.Join(dir, reports.PlanFile), data, 0o644); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	return nil
}
