package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// usageTemplate is every command's screen, which ends with its examples.
const usageTemplate = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}
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

func newRoot(std streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "workload",
		Short: "Play a workload in a pod of a certquake run",
		Long: `workload plays a workload of a certquake run: it uses the credential or the keys in a
mounted Secret the way the software under test does, and writes what happens to standard output,
one JSON row a line. certquake starts it in pods; by hand it runs anywhere.

Exit codes: 0 it was told to end, 1 it could not work, 2 wrong usage or config,
137 it was told to end as if killed.`,
		Example: `  workload peers --config @peer.json
  workload tokens --help`,
		Version:           version(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{fmt.Errorf("no command %q", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetUsageTemplate(usageTemplate)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(newPeers(std), newTokens(std))
	return root
}
