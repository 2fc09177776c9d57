package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newPlan(env *Env) *cobra.Command {
	var flags sourceFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "plan FILE|NAME|DIR|-...",
		Short: "Show what a scenario would do, without doing it",
		Long: `Plan resolves a scenario under a seed: defaults, names, every die. It prints the plan
as a table, or as canonical JSON whose digest names the run. The same scenario and seed
give the same plan, byte for byte.`,
		Example: `  certquake plan ca-swap-bundle
  certquake plan my-scenario.yaml --seed 7 --json`,
		Args:              needScenario,
		ValidArgsFunction: completeScenarios,
		RunE: func(cmd *cobra.Command, args []string) error {
			jobs, err := flags.load(cmd.Context(), env, args)
			if err != nil {
				return err
			}
			for i, j := range jobs {
				if i > 0 && !asJSON {
					tell(env.Stdout, "\n")
				}
				if err := printPlan(env, j, asJSON); err != nil {
					return fmt.Errorf("print the plan: %w", err)
				}
			}
			return nil
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print canonical JSON")
	return cmd
}

func printPlan(env *Env, j job, asJSON bool) error {
	if !asJSON {
		return j.plan.Table(env.Stdout)
	}
	data, err := j.plan.JSON()
	if err != nil {
		return err
	}
	_, err = env.Stdout.Write(data)
	return err
}
