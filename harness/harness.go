// Package harness conducts one run: it has a backend perform a plan and leave a record.
//
// Call Run. The package owns the seam between plan and world (Backend and World) and imports no
// implementation of it: backends import harness, and main wires them to the command line.
package harness

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// Backend performs plans in one kind of world.
type Backend interface {
	// Check returns what this backend cannot perform of the plan, joined, before anything starts.
	// Its errors wrap ErrUnsupported.
	Check(plan scenarios.Plan) error
	// Open brings the world up to the plan's offset 0 and begins to record into sink.
	Open(ctx context.Context, plan scenarios.Plan, sink record.Sink) (World, error)
}

// World is one world that a plan is performed in.
type World interface {
	// Sleep returns once the offset until has come. In the simulator this is the event loop.
	Sleep(ctx context.Context, until time.Duration) error
	// Do accepts an action. Its effects are observed and recorded later, never assumed.
	Do(ctx context.Context, action scenarios.Action) error
	// Close drains the record up to the offset reached and removes everything Open made. Its error
	// wraps ErrLeft if only the latter failed.
	Close(ctx context.Context) error
}

// ErrUnsupported is wrapped by what Check returns.
var ErrUnsupported = errors.New("not supported by this backend")

// ErrSettings is wrapped by what Check returns of a backend's own settings: whoever called it is to
// change them.
var ErrSettings = errors.New("wrong setting")

// ErrBroken is wrapped by the error of a world that could not be brought up, or that broke in the
// middle: nothing is proved either way.
var ErrBroken = errors.New("the world does not work")

// ErrLeft is wrapped by the error of a run whose record is whole, but which could not remove all
// that it made.
var ErrLeft = errors.New("not everything could be removed")

// closeLimit bounds the clean-up after a run, which goes on when the run was interrupted.
const closeLimit = time.Minute

// progressSteps is how often Run reports progress, at equal steps of the horizon.
const progressSteps = 50

// Progress is told how far a run is. It may be nil.
type Progress func(at time.Duration, action *scenarios.Action)

// Run performs the plan on the backend up to its horizon and records into sink. The record ends
// with an End row if and only if the run is complete: an interrupted run returns ctx's error and
// leaves rows up to where it was. A complete run that left something behind returns an error that
// wraps ErrLeft.
func Run(
	ctx context.Context, plan scenarios.Plan, backend Backend, sink record.Sink, progress Progress,
) error {
	if progress == nil {
		progress = func(time.Duration, *scenarios.Action) {}
	}
	if err := backend.Check(plan); err != nil {
		return fmt.Errorf("check the plan: %w", err)
	}
	world, err := backend.Open(ctx, plan, sink)
	if err != nil {
		return explain(sink, fmt.Errorf("open the world: %w", err))
	}
	if err := perform(ctx, plan, world, progress); err != nil {
		return explain(sink, errors.Join(err, closeWorld(ctx, world)))
	}
	left := closeWorld(ctx, world)
	if left != nil && !errors.Is(left, ErrLeft) {
		return left
	}
	end := record.Span{Kind: record.End, From: plan.Horizon, To: plan.Horizon}
	if err := sink.Write(end); err != nil {
		return errors.Join(left, fmt.Errorf("end the record: %w", err))
	}
	return left
}

// explain leaves in the record why the world broke, so that the report can say it.
func explain(sink record.Sink, err error) error {
	if !errors.Is(err, ErrBroken) {
		return err
	}
	return errors.Join(err, sink.Write(record.Span{Kind: record.Lost, Detail: err.Error()}))
}

// perform does the plan's actions at their offsets and sleeps to the horizon.
func perform(
	ctx context.Context, plan scenarios.Plan, world World, progress Progress,
) error {
	step := max(plan.Horizon/progressSteps, 1)
	mark := step
	sleep := func(until time.Duration) error {
		for ; mark < until; mark += step {
			if err := world.Sleep(ctx, mark); err != nil {
				return err
			}
			progress(mark, nil)
		}
		return world.Sleep(ctx, until)
	}
	for _, action := range plan.Actions {
		if err := sleep(action.At); err != nil {
			return fmt.Errorf("wait for %s at %s: %w", action.ID, action.At, err)
		}
		progress(action.At, &action)
		if err := world.Do(ctx, action); err != nil {
			return fmt.Errorf("%s at %s: %w", action.ID, action.At, err)
		}
	}
	if err := sleep(plan.Horizon); err != nil {
		return fmt.Errorf("run to the horizon %s: %w", plan.Horizon, err)
	}
	return nil
}

func closeWorld(ctx context.Context, world World) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	if err := world.Close(ctx); err != nil {
		return fmt.Errorf("close the world: %w", err)
	}
	return nil
}
