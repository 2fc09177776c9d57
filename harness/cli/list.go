package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/certquake/certquake/scenarios"
)

func newList(env *Env) *cobra.Command {
	var faults, checks bool
	cmd := &cobra.Command{
		Use:   "list [NAME]",
		Short: "List the library's scenarios, the faults or the checks",
		Long: `List prints one line for each scenario of the library: its name, the verdict it
expects and why it is there. With a NAME it prints that file, to start a scenario of your own
from: a scenario's name, or that of a manifest such as akka-pki.yaml.`,
		Example: `  certquake list --faults
  certquake list ca-swap-bundle > my-swap.yaml && certquake list akka-pki.yaml > akka-pki.yaml`,
		ValidArgsFunction: completeScenarios,
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) > 1, len(args) > 0 && (faults || checks), faults && checks:
				return usage(errors.New("certquake list lists one thing at a time"),
					"certquake list --help")
			case len(args) == 1:
				return printFile(env, args[0])
			}
			return printList(env, faults, checks)
		},
	}
	cmd.Flags().BoolVar(&faults, "faults", false, "list the faults of the language instead")
	cmd.Flags().BoolVar(&checks, "checks", false, "list the checks instead")
	return cmd
}

// printFile prints a file of the library.
func printFile(env *Env, name string) error {
	data, err := scenarios.Read(name)
	if err != nil {
		file, fileErr := fs.ReadFile(scenarios.Library(), name)
		if fileErr != nil {
			return usage(err, "certquake list")
		}
		data = file
	}
	_, err = env.Stdout.Write(data)
	return err
}

func printList(env *Env, faults, checks bool) error {
	w := tabwriter.NewWriter(env.Stdout, 0, 0, 2, ' ', 0)
	switch {
	case faults:
		for _, kind := range scenarios.FaultKinds() {
			tell(w, "%s\t%s\n", kind.Name, kind.Summary)
		}
	case checks:
		for _, id := range scenarios.Checks() {
			tell(w, "%s\t%s\n", id, id.Sentence())
		}
	default:
		if err := listLibrary(w); err != nil {
			return err
		}
	}
	return w.Flush()
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
			expected = scenarios.VerdictPass
		}
		if s.Spec.Expect.Because != "" {
			expected += ": " + s.Spec.Expect.Because
		}
		tell(w, "%s\t%s\t%s\n", name, expected, firstSentence(s.Spec.Why))
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
