package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// ClusterPruner is a Backend whose clusters outlive a process that is killed.
type ClusterPruner interface {
	// Prune removes what killed processes left, and returns a line for each thing that is gone. It
	// leaves alone what a living process uses, and what was to stay.
	Prune(ctx context.Context) (removed []string, err error)
}

// ClusterRemover is a Backend with clusters that stay until they are removed by name.
type ClusterRemover interface {
	// Remove removes the clusters of these names, and returns a line for each that is gone.
	Remove(ctx context.Context, names []string) (removed []string, err error)
}

// ClusterSweeper is a Backend whose kept clusters outlive a keeper that is killed.
type ClusterSweeper interface {
	// Sweep removes what is left of the cluster that was kept with dir as its ClusterSpec.Dir, and
	// returns a line for each thing that is gone.
	Sweep(ctx context.Context, dir string) (removed []string, err error)
}

// sweep has a backend remove what is left of a kept cluster, and reports whether it can: nothing is
// left of it then.
func (env *Env) sweep(ctx context.Context, backend, dir string) (bool, error) {
	for _, b := range env.Backends {
		if sweeper, able := b.(ClusterSweeper); able && b.Name() == backend {
			_, err := sweeper.Sweep(ctx, dir)
			return true, err
		}
	}
	return false, nil
}

// unfinished adds to an error of work that was left behind how what it made is removed.
func (env *Env) unfinished(err error) error {
	if !errors.Is(err, errAbandoned) || len(env.pruners()) == 0 {
		return err
	}
	return fmt.Errorf("%w; certquake cluster prune removes what is left of a cluster", err)
}

func newClusterPrune(env *Env) *cobra.Command {
	var backend string
	cmd := &cobra.Command{
		Use:   "prune [NAME]...",
		Short: "Remove what killed runs left",
		Long: `Prune removes the clusters of runs that were killed before they could do so, with
everything that belongs to them. Clusters that a living process uses stay, and so do those
that were to stay: a NAME removes such a one.`,
		Example: `  certquake cluster prune
  certquake cluster prune --backend kind mine`,
		RunE: func(cmd *cobra.Command, names []string) error {
			return env.prune(cmd.Context(), backend, names)
		},
	}
	cmd.Flags().StringVar(&backend, "backend", "",
		"world to look at: "+strings.Join(env.pruners(), ", ")+" (default all)")
	return cmd
}

// pruners lists the backends that have something to prune.
func (env *Env) pruners() []string {
	var names []string
	for _, b := range env.Backends {
		if _, ok := b.(ClusterPruner); ok {
			names = append(names, b.Name())
		}
	}
	return names
}

// prune has the backends remove what is left over, or what has a name.
func (env *Env) prune(ctx context.Context, backend string, names []string) error {
	if backend != "" {
		if _, err := env.backend(backend); err != nil {
			return err
		}
	}
	var problems []error
	asked := false
	for _, b := range env.Backends {
		if backend != "" && b.Name() != backend {
			continue
		}
		removed, able, err := remove(ctx, b, names)
		asked = asked || able
		for _, line := range removed {
			tell(env.Stdout, "removed %s\n", line)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", b.Name(), err))
		}
	}
	if !asked {
		hint := ""
		if able := env.pruners(); len(able) > 0 {
			hint = "--backend " + strings.Join(able, " or ")
		}
		return usage(errors.New("there is nothing to prune: these clusters end with their process"),
			hint)
	}
	return errors.Join(problems...)
}

// remove has one backend remove clusters, and reports whether it has any that could be.
func remove(ctx context.Context, b Backend, names []string) ([]string, bool, error) {
	if len(names) > 0 {
		remover, able := b.(ClusterRemover)
		if !able {
			return nil, false, nil
		}
		removed, err := remover.Remove(ctx, names)
		return removed, true, err
	}
	pruner, able := b.(ClusterPruner)
	if !able {
		return nil, false, nil
	}
	removed, err := pruner.Prune(ctx)
	return removed, true, err
}
