package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func newVersion(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version and the backends of this build",
		Example: "  certquake version",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(env.Stdout, "certquake %s (%s, %s/%s), backends:%s\n",
				env.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH, env.names(" "))
			return err
		},
	}
}

// names lists the backends, each after the separator.
func (env *Env) names(separator string) string {
	var out string
	for _, b := range env.Backends {
		out += separator + b.Name()
	}
	return out
}
