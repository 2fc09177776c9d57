package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/certquake/certquake/scenarios"
)

func newSchema(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of scenario files, for editors",
		Example: `  certquake schema > certquake.schema.json
  # then, as the first line of a scenario:
  # yaml-language-server: $schema=certquake.schema.json`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			schema, err := scenarios.Schema()
			if err != nil {
				return fmt.Errorf("make the schema: %w", err)
			}
			_, err = fmt.Fprintf(env.Stdout, "%s\n", schema)
			return err
		},
	}
}
