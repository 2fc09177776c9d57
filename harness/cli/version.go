package cli

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
)

func newVersion(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version and the backends of this build",
		Long:    "Version prints the versions of certquake and Go, the platform and the backends.",
		Example: "  certquake version\n  certquake --version",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(env.Stdout, versionLine(env))
			return err
		},
	}
}

func versionLine(env *Env) string {
	return fmt.Sprintf("certquake %s (%s, %s/%s), backends: %s\n", env.Version,
		runtime.Version(), runtime.GOOS, runtime.GOARCH, strings.Join(env.names(), " "))
}

// names lists the backends.
func (env *Env) names() []string {
	names := make([]string, len(env.Backends))
	for i, b := range env.Backends {
		names[i] = b.Name()
	}
	return names
}
