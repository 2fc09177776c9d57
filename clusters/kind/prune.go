package kind

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	kindcluster "sigs.k8s.io/kind/pkg/cluster"
)

// Prune removes what killed processes of this user left: clusters that were not to stay and whose
// process does not live, and what is left of those that stayed and were removed by other means. It
// returns a line for each.
func (Options) Prune(ctx context.Context) (removed []string, err error) {
	home, err := homeDir()
	if err != nil {
		return nil, err
	}
	left, err := leftovers(ctx, home, func(h *holding) bool {
		return !h.facts.Kept || h.gone(ctx)
	})
	return removeAll(ctx, left, err)
}

// Remove removes clusters that stayed, by their names, and reports each that is gone.
func (Options) Remove(ctx context.Context, names []string) (removed []string, err error) {
	home, err := homeDir()
	if err != nil {
		return nil, err
	}
	chosen, err := leftovers(ctx, home, func(h *holding) bool {
		return slices.Contains(names, h.name)
	})
	for _, name := range names {
		if !slices.ContainsFunc(chosen, func(h *holding) bool { return h.name == name }) {
			err = errors.Join(err, fmt.Errorf("no cluster %s that nobody uses is in %s", name,
				home))
		}
	}
	return removeAll(ctx, chosen, err)
}

// removeAll removes clusters and tells which.
func removeAll(ctx context.Context, all []*holding, err error) ([]string, error) {
	var removed []string
	for _, h := range all {
		if removeErr := h.removeThere(ctx); removeErr != nil {
			err = errors.Join(err, fmt.Errorf("cluster %s: %w", h.name, removeErr))
			continue
		}
		removed = append(removed, fmt.Sprintf("kind cluster %s of %s, with its network and %s",
			h.name, h.facts.Created.Format("2006-01-02 15:04:05"), h.dir))
	}
	return removed, err
}

// leftovers takes the folders that nobody living holds and that are chosen.
func leftovers(
	ctx context.Context, home string, chosen func(*holding) bool,
) ([]*holding, error) {
	entries, err := os.ReadDir(home)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for clusters: %w", err)
	}
	unlock, err := lockHome(ctx, home)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var left []*holding
	var problems []error
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		h, free, err := take(filepath.Join(home, entry.Name()))
		switch {
		case errors.Is(err, os.ErrNotExist): // gone meanwhile
		case err != nil:
			problems = append(problems, fmt.Errorf("cluster %s: %w", entry.Name(), err))
		case !free:
		case !h.known:
			problems = append(problems, h.forget()) // nothing was made yet
		case chosen(h):
			left = append(left, h)
		default:
			problems = append(problems, h.release())
		}
	}
	return left, errors.Join(problems...)
}

// there returns an error unless the engine that answers is the one that has the cluster.
func (h *holding) there(ctx context.Context) error {
	m, err := h.facts.Engine.info(ctx)
	if err != nil {
		return err
	}
	return h.facts.isOf(m)
}

// removeThere removes the cluster where it is, and leaves it alone while another engine answers.
func (h *holding) removeThere(ctx context.Context) error {
	if h.facts.Begun {
		if err := h.there(ctx); err != nil {
			return errors.Join(err, h.release())
		}
	}
	return h.remove(ctx)
}

// gone reports whether the cluster's engine answers and knows no container of the cluster.
func (h *holding) gone(ctx context.Context) bool {
	if h.there(ctx) != nil {
		return false
	}
	nodes, err := kindcluster.NewProvider(h.facts.Engine.option()).ListNodes(h.name)
	return err == nil && len(nodes) == 0
}

// sweepMax bounds the wait for the lock of a process that was just killed.
const sweepMax = 5 * time.Second

// Sweep removes what a killed process left of the cluster that it made with Options.Dir, and
// returns a line if there was any.
func (Options) Sweep(ctx context.Context, dir string) (removed []string, err error) {
	home, err := homeDir()
	if err != nil {
		return nil, err
	}
	kubeconfig, err := filepath.Abs(filepath.Join(dir, kubeconfigFile))
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(home)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("look for clusters: %w", err)
	}
	for _, entry := range entries {
		if f := remembered(home, entry.Name()); f == nil || f.Kubeconfig != kubeconfig {
			continue
		}
		var h *holding
		err = until(ctx, "end its process", homeWait, sweepMax,
			func(ctx context.Context) (free bool, err error) {
				h, free, err = takeIn(ctx, home, entry.Name())
				return free, err
			})
		if err != nil {
			return nil, fmt.Errorf("cluster %s: %w", entry.Name(), err)
		}
		return removeAll(ctx, []*holding{h}, nil)
	}
	return nil, nil
}

// takeIn is take while nobody makes or removes folders.
func takeIn(ctx context.Context, home, name string) (*holding, bool, error) {
	unlock, err := lockHome(ctx, home)
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	return take(filepath.Join(home, name))
}
