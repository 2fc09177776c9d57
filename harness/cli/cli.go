// Package cli is the command line: it reads flags, files and signals, and turns what the library
// packages return into output and exit codes. Call Main from main.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
)

// The exit codes, which scripts and CI may rely on.
const (
	ExitOK           = 0 // every run ended as its scenario expects
	ExitFail         = 1 // a run did not
	ExitUsage        = 2 // a wrong flag, scenario, file or run folder
	ExitInconclusive = 3 // a run proves nothing: interrupted, unsupported, or too little was seen
)

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

// Main runs the command line and returns the exit code.
func Main(ctx context.Context, env Env) int {
	root := newRoot(&env)
	root.SetArgs(env.Args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	err := root.ExecuteContext(ctx)
	if exit, ok := errors.AsType[*exitError](err); ok {
		return exit.code
	}
	if err == nil {
		return ExitOK
	}
	complain(env.Stderr, err)
	if errors.Is(err, harness.ErrUnsupported) || errors.Is(err, context.Canceled) {
		return ExitInconclusive
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return ExitUsage
	}
	return ExitFail
}

// complain prints an error and its hint, each line prefixed.
func complain(w io.Writer, err error) {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(w, "certquake: %s\n", strings.TrimRight(line, "\n"))
	}
	if wrong, ok := errors.AsType[*usageError](err); ok && wrong.hint != "" {
		fmt.Fprintf(w, "certquake: hint: %s\n", wrong.hint)
	}
}

func newRoot(env *Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "certquake",
		Short: "Rehearse the rotation of certificates, CAs and keys before production does",
		Long: `certquake performs rotations, CA swaps and kubelet delays on a world described by a
scenario, measures what breaks, judges it and writes a rotation-safety report.

Exit codes: 0 as the scenario expects, 1 not so, 2 wrong usage or scenario,
3 inconclusive, interrupted or not supported by the backend.`,
		Example: `  certquake run akka-rotation
  certquake plan ca-swap-bundle --set hold=65s`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(err, cmd.CommandPath()+" --help")
	})
	root.AddCommand(
		newRun(env), newPlan(env), newValidate(env), newReport(env),
		newList(env), newSchema(env), newVersion(env),
	)
	return root
}

// needArgs asks for at least one argument and says what kind.
func needArgs(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return nil
		}
		return usage(fmt.Errorf("%s needs %s", cmd.CommandPath(), what),
			cmd.CommandPath()+" --help; certquake list names the library's scenarios")
	}
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usage(fmt.Errorf("%s takes no argument, got %q", cmd.CommandPath(), args[0]),
		cmd.CommandPath()+" --help")
}
