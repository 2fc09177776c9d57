// Package access finds out how to reach a cluster that somebody has, and what an account may do
// there. Begin with Kubeconfig; Denied asks the API server about rules.
package access

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/certquake/certquake/harness"
)

// Kubeconfig says which kubeconfig and which context of it to use. The zero value is what kubectl
// uses.
type Kubeconfig struct {
	File    string // "" for those of the environment
	Context string // "" for the current one
}

// loader reads the kubeconfig.
func (k Kubeconfig) loader() clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = k.File
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules,
		&clientcmd.ConfigOverrides{CurrentContext: k.Context})
}

// Config returns how to reach the cluster. Errors are of the settings: they wrap
// harness.ErrSettings and name the flags --kubeconfig and --context.
func (k Kubeconfig) Config() (*rest.Config, error) {
	loader := k.loader()
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, wrong("--kubeconfig: %w", err)
	}
	if current := k.Current(); current != "" && raw.Contexts[current] == nil {
		there := "it has none"
		if len(raw.Contexts) > 0 {
			there = "there are " + strings.Join(slices.Sorted(maps.Keys(raw.Contexts)), ", ")
		}
		return nil, wrong("--context: the kubeconfig has no context %q: %s", current, there)
	}
	config, err := loader.ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err):
		return nil, wrong("--kubeconfig: there is no cluster in %s: name a kubeconfig, or set "+
			"KUBECONFIG", strings.Join(loader.ConfigAccess().GetLoadingPrecedence(), ", "))
	case err != nil:
		return nil, wrong("--kubeconfig: %w", err)
	}
	return config, nil
}

// OrPod is Config for a program that may run in a pod: unless a file or a context is named, it then
// reaches the pod's own cluster with the pod's own account.
func (k Kubeconfig) OrPod() (*rest.Config, error) {
	if k != (Kubeconfig{}) {
		return k.Config()
	}
	config, err := rest.InClusterConfig()
	switch {
	case err == nil:
		return config, nil
	case errors.Is(err, rest.ErrNotInCluster), errors.Is(err, fs.ErrNotExist):
		return k.Config() // no pod, or one without an account
	}
	return nil, fmt.Errorf("reach the pod's own cluster: %w", err)
}

// Current returns the context in use, "" if none is.
func (k Kubeconfig) Current() string {
	if k.Context != "" {
		return k.Context
	}
	raw, err := k.loader().RawConfig()
	if err != nil {
		return ""
	}
	return raw.CurrentContext
}

// Files returns the kubeconfig's files, for people.
func (k Kubeconfig) Files() string {
	if k.File != "" {
		return k.File
	}
	return strings.Join(k.loader().ConfigAccess().GetLoadingPrecedence(), ":")
}

// wrong returns an error of the settings.
func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %w", harness.ErrSettings, fmt.Errorf(format, args...))
}
