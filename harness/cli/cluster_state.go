package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/certquake/certquake/scenarios"
)

// The files of a kept cluster's folder. Its keeper holds the lock, whose text is its process id,
// for as long as it lives.
const (
	clusterFacts  = "cluster.json"
	clusterLock   = "lock"
	clusterLog    = "keeper.log"
	clusterCause  = "cause" // why it ended by itself
	clusterFolder = "cluster"
)

// downMax is how long a keeper may take to end before it is killed: more than it allows itself.
const (
	downMax   = patience + 10*time.Second
	downEvery = 20 * time.Millisecond
)

// The states of a kept cluster.
const (
	stateAlive    = "alive"
	stateStarting = "starting"
	stateDead     = "dead"
)

// facts are what is known of a kept cluster. The kubeconfig is there once it is ready.
type facts struct {
	Backend    string                  `json:"backend"`
	Created    time.Time               `json:"created"`
	Nodes      []scenarios.PlannedNode `json:"nodes"`
	Images     map[string]string       `json:"images,omitempty"`
	Kubeconfig string                  `json:"kubeconfig,omitempty"`
	Left       string                  `json:"left,omitempty"` // why its keeper left some of it
}

// keptCluster is the folder of one.
type keptCluster struct{ name, dir string }

// clusterHome is where the folders of kept clusters are.
func clusterHome() (string, error) {
	if home := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, "certquake", "clusters"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", usage(fmt.Errorf("find a place for clusters: %w", err),
			"set XDG_STATE_HOME to a folder")
	}
	return filepath.Join(home, ".local", "state", "certquake", "clusters"), nil
}

// namedCluster returns the folder of a name, which need not be there.
func namedCluster(name string) (keptCluster, error) {
	if !regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$`).MatchString(name) {
		return keptCluster{}, usage(fmt.Errorf(
			"--name %q is not up to 40 lower-case letters, digits and '-'", name), "--name mine")
	}
	home, err := clusterHome()
	return keptCluster{name, filepath.Join(home, name)}, err
}

// knownCluster returns the folder of a name, which must be there.
func knownCluster(name string) (keptCluster, error) {
	c, err := namedCluster(name)
	if err != nil {
		return c, err
	}
	if _, err := os.Stat(c.dir); err == nil {
		return c, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("look for cluster %s: %w", name, err)
	}
	hint := "certquake cluster up" + nameFlag(name)
	if all, err := knownClusters(); err == nil && len(all) > 0 {
		names := make([]string, len(all))
		for i, each := range all {
			names[i] = each.name
		}
		hint = "there is --name " + strings.Join(names, ", ")
	}
	return c, usage(fmt.Errorf("no cluster %s is up", name), hint)
}

// nameFlag is what to add to a command line for a cluster of that name.
func nameFlag(name string) string {
	if name == clusterName {
		return ""
	}
	return " --name " + name
}

// knownClusters returns the folders that are there, in order of their names.
func knownClusters() ([]keptCluster, error) {
	home, err := clusterHome()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(home)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	var all []keptCluster
	for _, entry := range entries {
		if entry.IsDir() {
			all = append(all, keptCluster{entry.Name(), filepath.Join(home, entry.Name())})
		}
	}
	return all, nil
}

func (c keptCluster) path(name string) string { return filepath.Join(c.dir, name) }

// facts returns what is known, which is nothing of a folder that is just being made.
func (c keptCluster) facts() facts {
	var f facts
	text, err := os.ReadFile(c.path(clusterFacts))
	if err != nil || json.Unmarshal(text, &f) != nil {
		return facts{}
	}
	return f
}

// tell replaces what is known, at once for whoever reads it.
func (c keptCluster) tell(f facts) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.path(clusterFacts+".new"), text, 0o600); err != nil {
		return err
	}
	return os.Rename(c.path(clusterFacts+".new"), c.path(clusterFacts))
}

// state tells whether the keeper lives, and is ready.
func (c keptCluster) state() string {
	switch _, living := c.keeper(); {
	case !living:
		return stateDead
	case c.facts().Kubeconfig == "":
		return stateStarting
	}
	return stateAlive
}

// keeper returns the process id of the keeper, if it lives, or 0 while it is not known.
func (c keptCluster) keeper() (pid int, living bool) {
	file, err := os.Open(c.path(clusterLock))
	if err != nil {
		return 0, false
	}
	defer func() { _ = file.Close() }()
	if free, lockErr := tryLock(file, true); free || lockErr != nil {
		return 0, false
	}
	text, err := os.ReadFile(c.path(clusterLock))
	if err != nil {
		return 0, true
	}
	pid, err = strconv.Atoi(string(text))
	if err != nil {
		return 0, true // about to be written
	}
	return pid, true
}

// living returns the facts of a cluster that must be alive.
func (c keptCluster) living() (facts, error) {
	switch c.state() {
	case stateAlive:
		return c.facts(), nil
	case stateStarting:
		return facts{}, usage(fmt.Errorf("cluster %s is starting", c.name),
			"certquake cluster list tells when it is alive")
	}
	cause := "its keeper was killed; its log is " + c.path(clusterLog)
	if text, err := os.ReadFile(c.path(clusterCause)); err == nil {
		cause = string(text)
	}
	return facts{}, usage(fmt.Errorf("cluster %s is dead: %s", c.name, cause),
		"certquake cluster down"+nameFlag(c.name)+" removes what is left of it")
}

// orphanMax is how long a cluster whose keeper was killed takes to end, at most.
const orphanMax = 3 * time.Second

// awaitEnd gives a cluster whose keeper was killed the time to end. One that ends in order removes
// its kubeconfig last; one that did not get to that has ended by the limit.
func (c keptCluster) awaitEnd(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, orphanMax)
	defer cancel()
	tick := time.NewTicker(downEvery)
	defer tick.Stop()
	for path := c.facts().Kubeconfig; path != ""; {
		if _, err := os.Stat(path); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// down has the keeper end, kills it when it does not, and removes what is left and the folder.
func (c keptCluster) down(ctx context.Context, env *Env) error {
	tick := time.NewTicker(downEvery)
	defer tick.Stop()
	late := time.NewTimer(downMax)
	defer late.Stop()
	asked := false
	for {
		pid, living := c.keeper()
		if !living {
			return c.tidy(ctx, env)
		}
		if !asked && pid > 0 {
			asked = true
			if err := terminate(pid, false); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-late.C:
			if pid == 0 {
				return errors.New("its keeper cannot be told to end")
			}
			if err := terminate(pid, true); err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("%w: the cluster may not have ended", errInterrupted)
		}
	}
}

// tidy removes what is left of a cluster that has no keeper. Its folder goes last, so that the
// cluster is found again where that fails.
func (c keptCluster) tidy(ctx context.Context, env *Env) error {
	known := c.facts()
	swept, err := env.sweep(ctx, known.Backend, c.path(clusterFolder))
	switch {
	case err != nil:
		return c.notSwept(err)
	case !swept && known.Left != "":
		why := known.Left
		known.Left = "" // it is told once
		return errors.Join(fmt.Errorf("its keeper could not remove all of it: %s; once you have "+
			"removed the rest, certquake cluster down%s removes its logs", why, nameFlag(c.name)),
			c.tell(known))
	}
	c.awaitEnd(ctx)
	return os.RemoveAll(c.dir)
}

// notSwept is of a cluster of which something is left.
func (c keptCluster) notSwept(err error) error {
	return fmt.Errorf("remove what is left of it: %w; certquake cluster down%s tries again, and "+
		"so does certquake cluster prune", err, nameFlag(c.name))
}
