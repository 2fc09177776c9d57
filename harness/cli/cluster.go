package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/certquake/certquake/scenarios"
)

// ClusterKeeper is a Backend that can keep a cluster for a person to look at.
type ClusterKeeper interface {
	// Keep brings a cluster up, which outlives ctx. harness.Say tells how far it is.
	Keep(ctx context.Context, spec ClusterSpec) (Kept, error)
}

// ClusterSpec says which cluster to keep.
type ClusterSpec struct {
	Dir    string                  // for the kubeconfig and logs, not there yet
	Nodes  []scenarios.PlannedNode // with every setting
	Images map[string]string       // names of images, beside the backend's own: executables
}

// Kept is a cluster that is up.
type Kept struct {
	Kubeconfig string
	Broken     <-chan struct{} // closed when it ended by itself
	Cause      func() error    // why
	Down       func(ctx context.Context) error
}

// clusterName is the name of a cluster that is given none.
const clusterName = "certquake"

func newCluster(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Keep a cluster to look at with kubectl",
		Long: `Cluster brings a cluster of a backend up and keeps it until it is taken down, with
the nodes of a scenario or of your own, for kubectl and for programs under development.`,
		Example: `  certquake cluster up --nodes 2
  kubectl --kubeconfig $(certquake cluster kubeconfig) get pods -A`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newClusterUp(env), newClusterDown(env), newClusterKubeconfig(env),
		newClusterList(env), newClusterPrune(env), newClusterKeep(env))
	return cmd
}

// keepers lists the backends that keep clusters.
func (env *Env) keepers() []string {
	var names []string
	for _, b := range env.Backends {
		if _, ok := b.(ClusterKeeper); ok {
			names = append(names, b.Name())
		}
	}
	return names
}

// keeper returns the backend of the name, or the first one that keeps clusters.
func (env *Env) keeper(name string) (Backend, ClusterKeeper, error) {
	names := env.keepers()
	if len(names) == 0 {
		return nil, nil, usage(errors.New("no backend of this build keeps clusters"), "")
	}
	if name == "" {
		name = names[0]
	}
	b, err := env.backend(name)
	if err != nil {
		return nil, nil, err
	}
	keeper, ok := b.(ClusterKeeper)
	if !ok {
		return nil, nil, usage(fmt.Errorf("--backend %s keeps no clusters", name),
			"--backend "+strings.Join(names, " or "))
	}
	return b, keeper, nil
}

func addName(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "name", clusterName, "`NAME` of the cluster")
}

func newClusterDown(env *Env) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "down",
		Short: "End a cluster and remove what is left of it",
		Long: `Down ends a cluster and returns when nothing is left of it. Of one that ended by
itself, or whose keeper was killed, it removes what is left.`,
		Example: "  certquake cluster down\n  certquake cluster down --name mine",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := knownCluster(name)
			if err != nil {
				return err
			}
			if err := c.down(cmd.Context(), env); err != nil {
				return fmt.Errorf("end cluster %s: %w", name, err)
			}
			tell(env.Stderr, "certquake: cluster %s is gone\n", name)
			return nil
		},
	}
	addName(cmd, &name)
	return cmd
}

func newClusterKubeconfig(env *Env) *cobra.Command {
	var name string
	var raw bool
	cmd := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print where a cluster's kubeconfig is",
		Long:  "Kubeconfig prints the path of a cluster's kubeconfig, or with --raw what is in it.",
		Example: `  export KUBECONFIG=$(certquake cluster kubeconfig)
  certquake cluster kubeconfig --raw > admin.kubeconfig`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := knownCluster(name)
			if err != nil {
				return err
			}
			facts, err := c.living()
			if err != nil {
				return err
			}
			if !raw {
				tell(env.Stdout, "%s\n", facts.Kubeconfig)
				return nil
			}
			text, err := os.ReadFile(facts.Kubeconfig)
			if err != nil {
				return fmt.Errorf("read the kubeconfig: %w", err)
			}
			_, err = env.Stdout.Write(text)
			return err
		},
	}
	addName(cmd, &name)
	cmd.Flags().BoolVar(&raw, "raw", false, "print what is in it")
	return cmd
}

func newClusterList(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the clusters that are kept",
		Long: `List prints a line for each cluster: its name, backend, age, nodes, and whether it is
alive, starting or dead.`,
		Example: "  certquake cluster list\n  certquake cluster list | grep -v dead",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := knownClusters()
			if err != nil || len(all) == 0 {
				return err
			}
			w := tabwriter.NewWriter(env.Stdout, 0, 0, 2, ' ', 0)
			tell(w, "NAME\tBACKEND\tAGE\tNODES\tSTATE\n")
			for _, c := range all {
				facts, state := c.facts(), c.state()
				names := make([]string, len(facts.Nodes))
				for i, node := range facts.Nodes {
					names[i] = node.Name
				}
				tell(w, "%s\t%s\t%s\t%s\t%s\n", c.name, facts.Backend,
					span(time.Since(facts.Created).Round(time.Second)),
					strings.Join(names, ","), state)
			}
			return w.Flush()
		},
	}
}
