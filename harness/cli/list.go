package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/certquake/certquake/scenarios"
)

func newList(env *Env) *cobra.Command {
	var faults, checks bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the library's scenarios, the faults or the checks",
		Example: `  certquake list
  certquake list --faults`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			w := tabwriter.NewWriter(env.Stdout, 0, 0, 2, ' ', 0)
			switch {
			case faults:
				for _, kind := range scenarios.FaultKinds() {
					fmt.Fprintf(w, "%s\t%s\n", kind.Name, kind.Summary)
				}
			case checks:
				for _, id := range scenarios.Checks() {
					fmt.Fprintf(w, "%s\t%s\n", id, id.Sentence())
				}
			default:
				if err := listLibrary(w); err != nil {
					return err
				}
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&faults, "faults", false, "list the faults of the language instead")
	cmd.Flags().BoolVar(&checks, "checks", false, "list the checks instead")
	return cmd
}

// listLibrary prints a line a scenario: its name, the verdict it expects and why it is there.
func listLibrary(w *tabwriter.Writer) error {
	for _, name := range scenarios.Names() {
		s, err := scenarios.Open(name, nil)
		if err != nil {
			return fmt.Errorf("library scenario: %w", err)
		}
		expected := s.Spec.Expect.Verdict
		if expected == "" {
			expected = "pass"
		}
		if s.Spec.Expect.Because != "" {
			expected += ": " + s.Spec.Expect.Because
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", name, expected, firstSentence(s.Spec.Why))
	}
	return nil
}

func firstSentence(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if end := strings.Index(text, ". "); end >= 0 {
		return text[:end+1]
	}
	return text
}
