package cli

import (
	"github.com/spf13/cobra"
)

func newValidate(env *Env) *cobra.Command {
	var flags sourceFlags
	cmd := &cobra.Command{
		Use:   "validate FILE|NAME|DIR|-...",
		Short: "Check scenario files and report every problem at once",
		Long: `Validate reads scenarios and their manifests strictly and prints each problem as
file:line: path: what is wrong. It exits with 2 if there is any.`,
		Example: `  certquake validate my-scenario.yaml
  certquake validate scenarios/ && echo good`,
		Args:              needScenario,
		ValidArgsFunction: completeScenarios,
		RunE: func(cmd *cobra.Command, args []string) error {
			jobs, err := flags.load(cmd.Context(), env, args)
			if err != nil {
				return err
			}
			for _, j := range jobs {
				tell(env.Stdout, "%s: valid\n", j.source.name)
			}
			return nil
		},
	}
	flags.add(cmd)
	return cmd
}
