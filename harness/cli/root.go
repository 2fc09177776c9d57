package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// usageTemplate is every command's screen, which ends with its examples.
const usageTemplate = `Usage:
  {{if .Runnable}}{{.UseLine}}{{else}}{{.CommandPath}} COMMAND{{end}}
{{- if .HasAvailableSubCommands}}

Commands:
{{- range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{- end}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}

Examples:
{{.Example}}
`

func newRoot(env *Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "certquake",
		Short: "Rehearse the rotation of certificates, CAs and keys before production does",
		Long: `certquake performs rotations, CA swaps and kubelet delays on a world described by a
scenario, measures what breaks, judges it and writes a rotation-safety report.

Exit codes: 0 every run ended as its scenario expects, 1 one did not, 2 wrong usage,
scenario or folder, 3 inconclusive, interrupted or not supported by the backend. Of
several runs, one that failed outweighs those that were inconclusive.`,
		Example: `  certquake run akka-rotation
  certquake plan ca-swap-bundle --set hold=65s`,
		Version:           env.Version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              knownCommand,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetUsageTemplate(usageTemplate)
	root.SetVersionTemplate(versionLine(env))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(err, cmd.CommandPath()+" --help")
	})
	root.AddCommand(
		newRun(env), newPlan(env), newRender(env), newValidate(env), newReport(env),
		newList(env), newCluster(env), newImage(env), newRBAC(env), newRotator(env),
		newSchema(env), newCompletion(env), newVersion(env),
	)
	root.SetHelpCommand(newHelp(root))
	return root
}

// newHelp is cobra's help command, but an unknown topic is an error.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Print the help of a command",
		Example: "  certquake help run\n  certquake help",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 && cmd == root {
				return knownCommand(root, rest)
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

// knownCommand refuses the arguments of the program itself, which are commands it does not have.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "certquake --help lists the commands"
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return usage(fmt.Errorf("no command %q", args[0]), hint)
}

// needArgs asks for at least one argument and says what kind, and where to find one.
func needArgs(what, hint string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage(fmt.Errorf("%s needs %s", cmd.CommandPath(), what), hint)
		}
		return nil
	}
}

// needScenario asks for at least one scenario.
func needScenario(cmd *cobra.Command, args []string) error {
	return needArgs("a scenario", cmd.CommandPath()+" akka-rotation, or a name that "+
		"certquake list shows, or a file or folder of yours")(cmd, args)
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usage(fmt.Errorf("%s takes no argument, got %q", cmd.CommandPath(), args[0]),
		cmd.CommandPath()+" --help")
}

// errNoShell is of a shell that has no completion.
var errNoShell = errors.New("completion is for bash, zsh, fish or powershell")
