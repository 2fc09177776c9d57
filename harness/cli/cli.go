// Package cli is the command line: it reads flags, files and signals, and turns what the library
// packages return into output and exit codes. Call Program from main, or Main with streams of your
// own.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
)

// The exit codes, which scripts and CI may rely on.
const (
	ExitOK           = 0 // every run ended as its scenario expects
	ExitFail         = 1 // a run did not, or an error that is not the caller's
	ExitUsage        = 2 // a wrong flag, scenario, file or run folder
	ExitInconclusive = 3 // a run proves nothing: interrupted, unsupported, broken, too little seen
)

// patience is how long Main waits for an interrupted command to take its world down and write its
// report. What is abandoned then can be computed from the record.
const patience = 30 * time.Second

// Backend is a backend that the command line offers.
type Backend interface {
	harness.Backend
	// Name is what --backend takes and the record's header says.
	Name() string
	// Basis says where the backend's latencies come from.
	Basis() record.Basis
}

// Env is what the program is given from outside.
type Env struct {
	Args     []string // without the program's name
	Stdin    io.Reader
	Stdout   io.Writer // data: verdicts, plans, schemas
	Stderr   io.Writer // talk: progress and errors
	Backends []Backend // the first one is the default
	Version  string
	// Image makes the image of a program, or for "" of the workload program that it finds or
	// builds. It is nil in a build without images.
	Image func(ctx context.Context, program string) (Image, error)
	// Rotator is the rotation operator. It is nil in a build without one.
	Rotator *Rotator
}

// secondSignal is how long further signals are passed over after the first: timeout(1) and some
// shells send one to the process and again to its group.
const secondSignal = time.Second

// Program is Main for this process, whose arguments and streams it adds to env, and whose signals
// it heeds. The first interrupt ends a run in order, the next one ends the process.
func Program(env Env) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM,
		syscall.SIGHUP) // whose terminal was closed still gets a report
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(secondSignal, stop) })
	env.Args, env.Stdin, env.Stdout, env.Stderr = os.Args[1:], os.Stdin, os.Stdout, os.Stderr
	return Main(ctx, env)
}

// Main runs the command line and returns the exit code. It returns within seconds once ctx is done:
// a command that does not end by itself is left behind, for the process to end with it.
func Main(ctx context.Context, env Env) int {
	stdout := &output{w: env.Stdout}
	env.Stdout = stdout
	_, err := await(ctx, patience, func() (struct{}, error) {
		root := newRoot(&env) //nolint:contextcheck // the commands get it from cobra
		root.SetArgs(env.Args)
		root.SetIn(env.Stdin)
		root.SetOut(env.Stdout)
		root.SetErr(env.Stderr)
		return struct{}{}, root.ExecuteContext(ctx)
	})
	if stdout.err != nil && !errors.Is(err, errInterrupted) && !errors.Is(err, stdout.err) {
		err = errors.Join(err, fmt.Errorf("write to standard output: %w", stdout.err))
	}
	return conclude(env.Stderr, env.unfinished(err))
}

// conclude prints what is not said yet and returns the exit code.
func conclude(stderr io.Writer, err error) int {
	if err == nil {
		return ExitOK
	}
	//nolint:errorlint // a join with an exitError in it has more to say
	if exit, ok := err.(*exitError); ok {
		return exit.code
	}
	complain(stderr, err)
	if errors.Is(err, harness.ErrUnsupported) || errors.Is(err, harness.ErrBroken) ||
		errors.Is(err, errInterrupted) {
		return ExitInconclusive
	}
	if _, ok := errors.AsType[*usageError](err); ok || errors.Is(err, harness.ErrSettings) {
		return ExitUsage
	}
	return ExitFail
}

var (
	errInterrupted = errors.New("interrupted")
	// errAbandoned is of work that did not end in time after an interrupt.
	errAbandoned = fmt.Errorf("%w before the work was done; "+
		"certquake report RUNDIR tells what was recorded", errInterrupted)
)

// await does the work and returns its result, or errAbandoned when it has not ended by the grace
// after ctx was done.
func await[T any](
	ctx context.Context, grace time.Duration, work func() (T, error),
) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := work()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.value, r.err
	case <-timer.C:
		var none T
		return none, errAbandoned
	}
}

// output remembers the first error of a writer, for those who print without looking.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(data []byte) (int, error) {
	n, err := o.w.Write(data)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// usageError is an error of the caller's: a wrong flag, argument or file.
type usageError struct {
	err  error
	hint string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usage wraps an error as the caller's, with what to type instead, or "".
func usage(err error, hint string) error { return &usageError{err, hint} }

// exitError carries an exit code for which everything has been said already.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// exit returns an error that carries the code, nil for success.
func exit(code int) error {
	if code == ExitOK {
		return nil
	}
	return &exitError{code}
}

// complain prints an error and its hints, each line prefixed.
func complain(w io.Writer, err error) {
	for line := range strings.Lines(err.Error()) {
		tell(w, "certquake: %s\n", strings.TrimRight(line, "\n"))
	}
	var told []string
	for _, hint := range hints(err) {
		if !slices.Contains(told, hint) {
			tell(w, "certquake: hint: %s\n", hint)
			told = append(told, hint)
		}
	}
}

// hints returns the hints of an error and of those joined in it, in order.
func hints(err error) []string {
	if joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err); ok {
		var all []string
		for _, one := range joined.Unwrap() {
			all = append(all, hints(one)...)
		}
		if len(all) > 0 {
			return all
		}
	}
	if wrong, ok := errors.AsType[*usageError](err); ok && wrong.hint != "" {
		return []string{wrong.hint}
	}
	return nil
}
