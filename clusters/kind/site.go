package kind

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	kindcluster "sigs.k8s.io/kind/pkg/cluster"

	"github.com/certquake/certquake/harness"
)

// site is where a cluster is, or is to be made.
type site struct {
	engine  engine
	machine machine
}

// site finds the engine: that of a cluster that is there, or else one that answers. It refuses
// settings that such a cluster does not have, and a name for a new one that is taken. The name may
// be left open.
func (o Options) site(ctx context.Context, name string, there *facts) (site, error) {
	s := site{}
	wanted := o.Engine
	if there != nil {
		if err := o.differs(name, *there); err != nil {
			return s, err
		}
		wanted = there.Engine.String()
	}
	var err error
	if s.engine, err = findEngine(ctx, wanted); err != nil {
		return s, err
	}
	if s.machine, err = s.engine.info(ctx); err != nil {
		return s, err
	}
	if there != nil {
		return s, there.isOf(s.machine)
	}
	if name == "" { // it will be one that nobody has
		return s, nil
	}
	return s, vacant(ctx, s.engine, name)
}

// wrong returns an error that a person mends by another setting.
func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %w", harness.ErrSettings, fmt.Errorf(format, args...))
}

// differs returns, joined, which settings that a person chose are not those that a cluster was made
// with.
func (o Options) differs(name string, f facts) error {
	manager, err := o.managerSource()
	problems := []error{err}
	for _, setting := range []struct{ flag, chosen, made string }{
		{"--engine", o.Engine, f.Engine.String()},
		{"--node-image", o.NodeImage, f.NodeImage},
		{"--cert-manager", manager, f.ManagerSource},
	} {
		if setting.chosen != "" && setting.chosen != setting.made {
			problems = append(problems, wrong("cluster %s was made with %s %s, not %s: drop %s, "+
				"choose another --cluster, or remove this one by certquake cluster prune %s",
				name, setting.flag, setting.made, setting.chosen, setting.flag, name))
		}
	}
	return errors.Join(problems...)
}

// isOf returns an error unless the engine that answers is the one that has the cluster: of two,
// the other knows no such containers, which does not mean that there are none.
func (f facts) isOf(m machine) error {
	if f.EngineID == "" || f.EngineID == m.ID {
		return nil
	}
	return wrong("the cluster is in another %s (%s) than the one that answers (%s): choose that "+
		"one, as by %s, and try again", f.Engine, f.EngineID, m.ID, f.Engine.hostVariable())
}

// vacant returns an error if the engine has a cluster or a network of the name, which somebody
// else made: neither is ever used, changed or removed.
func vacant(ctx context.Context, e engine, name string) error {
	nodes, err := kindcluster.NewProvider(e.option()).ListNodes(name)
	if err != nil {
		return fmt.Errorf("look for a cluster %s: %w", name, explain(err))
	}
	if len(nodes) > 0 {
		return wrong("a kind cluster %s exists that is none of certquake's: choose another "+
			"--cluster, or run on it by --backend existing --context kind-%s", name, name)
	}
	there, err := e.hasNetwork(ctx, name)
	if err != nil {
		return fmt.Errorf("look for a network %s: %w", name, err)
	}
	if there {
		return wrong("%s has a network %s, which is none of certquake's and would be the "+
			"cluster's: choose another --cluster", e, name)
	}
	return nil
}

// remembered returns what is known of the cluster of the name, if it is there.
func remembered(home, name string) *facts {
	text, err := os.ReadFile(filepath.Join(home, name, factsFile)) //nolint:gosec // our own
	var f facts
	if err != nil || json.Unmarshal(text, &f) != nil {
		return nil // whoever takes the folder is told
	}
	return &f
}
