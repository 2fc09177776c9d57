package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/certquake/certquake/scenarios"
)

func newCompletion(env *Env) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the completion script for bash, zsh, fish or powershell",
		Long: `Completion prints a script that makes the shell complete commands, flags, the
library's scenarios, backends and files. SHELL is bash, zsh, fish or powershell.

For good:
  bash        certquake completion bash > /etc/bash_completion.d/certquake
  zsh         certquake completion zsh > "${fpath[1]}/_certquake"
  fish        certquake completion fish > ~/.config/fish/completions/certquake.fish
  powershell  certquake completion powershell >> $PROFILE`,
		Example: `  source <(certquake completion bash)
  certquake completion fish > certquake.fish`,
		ValidArgs: shells,
		Args:      needArgs("a shell", "certquake completion bash, or zsh, fish, powershell"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return printCompletion(cmd.Root(), env, args)
		},
	}
}

func printCompletion(root *cobra.Command, env *Env, args []string) error {
	if len(args) > 1 {
		return usage(fmt.Errorf("%w: one at a time", errNoShell), "")
	}
	switch args[0] {
	case "bash":
		return root.GenBashCompletionV2(env.Stdout, true)
	case "zsh":
		return root.GenZshCompletion(env.Stdout)
	case "fish":
		return root.GenFishCompletion(env.Stdout, true)
	case "powershell":
		return root.GenPowerShellCompletionWithDesc(env.Stdout)
	}
	return usage(fmt.Errorf("%w, not for %q", errNoShell, args[0]),
		"certquake completion bash")
}

// completeScenarios offers the library's scenarios, and files.
func completeScenarios(
	_ *cobra.Command, _ []string, begun string,
) ([]cobra.Completion, cobra.ShellCompDirective) {
	names := slices.DeleteFunc(scenarios.Names(), func(name string) bool {
		return !strings.HasPrefix(name, begun)
	})
	return names, cobra.ShellCompDirectiveDefault
}

// completeFolders offers folders only.
func completeFolders(
	_ *cobra.Command, _ []string, _ string,
) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// completeFrom offers the words.
func completeFrom(words []string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}
