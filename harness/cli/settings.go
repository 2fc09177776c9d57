package cli

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Configurable is a Backend with settings of its own. The names of flags are its own, too: no two
// backends share one. Records and reports repeat the settings of a run.
type Configurable interface {
	Backend
	// Flags adds the settings to the flags. Their values hold from the command's start on.
	Flags(flags *pflag.FlagSet)
}

// addSettings adds the flags of every backend to a command, and says in their help whose they are.
func (env *Env) addSettings(cmd *cobra.Command) {
	for _, backend := range env.Backends {
		if configurable, ok := backend.(Configurable); ok {
			settings := pflag.NewFlagSet(backend.Name(), pflag.ContinueOnError)
			configurable.Flags(settings)
			settings.VisitAll(func(flag *pflag.Flag) {
				flag.Usage = backend.Name() + ": " + flag.Usage
			})
			cmd.Flags().AddFlagSet(settings)
		}
	}
}

// own reports whether a flag is a setting of the backend.
func own(flag *pflag.Flag, backend Backend) bool {
	return strings.HasPrefix(flag.Usage, backend.Name()+": ")
}

// given returns the settings of the backend that a command was given, as arguments.
func given(cmd *cobra.Command, backend Backend) []string {
	var args []string
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		if own(flag, backend) {
			args = append(args, "--"+flag.Name+"="+flag.Value.String())
		}
	})
	return args
}

// shown returns the settings of the backend that a command was given, as arguments that anybody may
// read: without the secrets that an address can hold.
func shown(cmd *cobra.Command, backend Backend) []string {
	args := given(cmd, backend)
	for i, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		args[i] = name + "=" + withoutSecrets(value)
	}
	return args
}

// hidden stands for what is left out of an address.
const hidden = "HIDDEN"

// withoutSecrets hides the user and the query of an address, either of which may be a credential.
// Of one that cannot be told apart, it leaves the scheme. Other values are returned as they are.
func withoutSecrets(value string) string {
	scheme, _, found := strings.Cut(value, "://")
	if !found {
		return value
	}
	address, err := url.Parse(value)
	if err != nil {
		return scheme + "://" + hidden
	}
	if address.User != nil {
		address.User = url.User(hidden)
	}
	if address.RawQuery != "" {
		address.RawQuery = hidden
	}
	return address.String()
}

// foreign refuses the settings of other backends than the one chosen.
func (env *Env) foreign(cmd *cobra.Command, chosen Backend) error {
	var problems []error
	for _, backend := range env.Backends {
		if backend.Name() == chosen.Name() {
			continue
		}
		var names []string
		for _, arg := range given(cmd, backend) {
			name, _, _ := strings.Cut(arg, "=")
			names = append(names, name)
		}
		if len(names) > 0 {
			problems = append(problems, usage(
				fmt.Errorf("%s: for --backend %s, not %s", strings.Join(names, ", "),
					backend.Name(), chosen.Name()),
				"drop it, or say --backend "+backend.Name()))
		}
	}
	return errors.Join(problems...)
}
