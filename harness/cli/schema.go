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
		Long: `Schema prints the JSON Schema of scenario files. An editor with the YAML language
server completes and checks a scenario whose first line is
  # yaml-language-server: $schema=certquake.schema.json`,
		Example: `  certquake schema > certquake.schema.json
  certquake schema | grep description`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			schema, err := scenarios.Schema()
			if err != nil {
				return fmt.Errorf("make the schema: %w", err)
			}
			_, err = fmt.Fprintf(env.Stdout, "%s", schema)
			return err
		},
	}
}
