package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

// Permitter is a Backend that runs on a cluster with no more permissions than it says beforehand.
type Permitter interface {
	Backend
	// RBAC returns the namespaces, a service account and the roles that a run with it needs, as
	// YAML documents. Without namespaces it is about the one that a run is in by default.
	RBAC(account string, namespaces []string, clusterScoped, kubelets bool) ([]byte, error)
}

// rbacFlags are the flags of rbac.
type rbacFlags struct {
	namespaces    []string
	account       string
	clusterScoped bool
	kubelets      bool
}

func newRBAC(env *Env) *cobra.Command {
	var flags rbacFlags
	cmd := &cobra.Command{
		Use:   "rbac",
		Short: "Print what an account needs for runs on a cluster of yours",
		Long: `Rbac prints the namespace of runs, a service account and its roles as YAML: what
certquake run --backend existing does with that account, and no more. Whoever may give
such permissions applies it once; nothing of a run is in it.

A scenario whose objects are in several namespaces needs as many: name each.

Whoever may read settings of kubelets may do more with them, since Kubernetes has one
permission for all that kubelets are asked through the API server. A scenario whose
nodes have the defaults needs none of it.`,
		Example: `  certquake rbac | kubectl apply -f -
  certquake rbac --namespace rotation --allow-cluster-scoped > rbac.yaml`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			permitter, err := env.permitter()
			if err != nil {
				return err
			}
			text, err := permitter.RBAC(
				flags.account, flags.namespaces, flags.clusterScoped, flags.kubelets)
			if err != nil {
				return err
			}
			_, err = env.Stdout.Write(text)
			return err
		},
	}
	cmd.Flags().StringArrayVar(&flags.namespaces, "namespace", nil,
		"`NAME` of a namespace of runs, the account's first (default that of run)")
	cmd.Flags().StringVar(&flags.account, "service-account", "certquake",
		"`NAME` of the service account and its roles")
	cmd.Flags().BoolVar(&flags.clusterScoped, "allow-cluster-scoped", false,
		"allow ClusterIssuers, and the definition of RotatingSecrets, too")
	cmd.Flags().BoolVar(&flags.kubelets, "read-kubelets", false,
		"allow to read the settings of kubelets, too")
	return cmd
}

// permitter returns the backend that has permissions.
func (env *Env) permitter() (Permitter, error) {
	for _, backend := range env.Backends {
		if permitter, ok := backend.(Permitter); ok {
			return permitter, nil
		}
	}
	return nil, usage(errors.New("no backend of this build runs on clusters of yours"), "")
}
