package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// upFlags are the flags of cluster up.
type upFlags struct {
	name     string
	backend  string
	count    int
	nodes    []string
	scenario string
	images   []string
}

func newClusterUp(env *Env) *cobra.Command {
	var flags upFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring a cluster up and keep it",
		Long: `Up brings a cluster up, prints the path of its kubeconfig and leaves it to a process
in the background until certquake cluster down. The nodes are --nodes equal ones, those
of --node, each a list of name, syncFrequency, changeDetection and cacheTTL, or those of
--scenario, a file or a name that certquake list shows.`,
		Example: `  certquake cluster up --nodes 2
  certquake cluster up --node name=fast,syncFrequency=10s --node name=slow,changeDetection=Get`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.run(cmd.Context(), env, cmd)
		},
	}
	addName(cmd, &flags.name)
	cmd.Flags().StringVar(&flags.backend, "backend", "",
		"world to bring up: "+strings.Join(env.keepers(), ", "))
	cmd.Flags().IntVar(&flags.count, "nodes", 1, "`number` of nodes, named node-0 and so on")
	cmd.Flags().StringArrayVar(&flags.nodes, "node", nil,
		"a node, as `name=fast,syncFrequency=10s`; may be repeated")
	cmd.Flags().StringVar(&flags.scenario, "scenario", "", "`FILE|NAME` to take the nodes of")
	cmd.Flags().StringArrayVar(&flags.images, "image", nil,
		"a further image, as `NAME=EXECUTABLE`; may be repeated")
	env.addSettings(cmd)
	return cmd
}

func (f *upFlags) run(ctx context.Context, env *Env, cmd *cobra.Command) error {
	backend, _, err := env.keeper(f.backend)
	if err != nil {
		return err
	}
	if err = env.foreign(cmd, backend); err != nil {
		return err
	}
	c, err := namedCluster(f.name)
	if err != nil {
		return err
	}
	if err = oneOf(cmd, "nodes", "node", "scenario"); err != nil {
		return err
	}
	nodes, err := f.planned(ctx, env)
	if err != nil {
		return err
	}
	images, err := f.mapped()
	if err != nil {
		return err
	}
	if err = c.reserve(); err != nil {
		return err
	}
	err = c.tell(facts{
		Backend: backend.Name(), Created: time.Now(), Nodes: nodes, Images: images,
	})
	if err == nil {
		err = c.launch(ctx, env, given(cmd, backend))
	}
	if err != nil {
		return errors.Join(err, c.clear(ctx, env))
	}
	facts, err := c.living()
	if err != nil {
		return err
	}
	tell(env.Stdout, "%s\n", facts.Kubeconfig)
	name, self := nameFlag(f.name), cmd.Root().Name()
	tell(env.Stderr, "certquake: cluster %s is up; type:\n"+
		"  export KUBECONFIG=$(%s cluster kubeconfig%s)\n"+
		"  kubectl get nodes,pods -A\n"+
		"  %s cluster down%s\n", f.name, self, name, self, name)
	return nil
}

// oneOf refuses flags that exclude each other.
func oneOf(cmd *cobra.Command, flags ...string) error {
	var given []string
	for _, flag := range flags {
		if cmd.Flags().Changed(flag) {
			given = append(given, "--"+flag)
		}
	}
	if len(given) < 2 {
		return nil
	}
	return usage(fmt.Errorf("%s exclude each other", strings.Join(given, " and ")),
		"drop one of them")
}

// planned returns the nodes that the flags ask for.
func (f *upFlags) planned(ctx context.Context, env *Env) ([]scenarios.PlannedNode, error) {
	switch {
	case f.scenario != "":
		jobs, err := (&sourceFlags{seed: 1, speed: 1}).load(ctx, env, []string{f.scenario})
		if err != nil {
			return nil, err
		}
		if len(jobs) != 1 {
			return nil, usage(fmt.Errorf("--scenario %s: holds %d scenarios", f.scenario,
				len(jobs)), "give one file or name")
		}
		return jobs[0].plan.Nodes, nil
	case len(f.nodes) > 0:
		return parseNodes(f.nodes)
	case f.count < 1:
		return nil, usage(fmt.Errorf("--nodes %d is not positive", f.count), "--nodes 2")
	}
	nodes := make([]scenarios.PlannedNode, f.count)
	for i := range nodes {
		nodes[i] = defaultNode()
		nodes[i].Name = "node-" + strconv.Itoa(i)
	}
	return nodes, nil
}

// defaultNode has a kubelet's default settings.
func defaultNode() scenarios.PlannedNode {
	return scenarios.PlannedNode{SyncFrequency: time.Minute, ChangeDetection: scenarios.Watch}
}

// parseNodes reads --node flags and reports every problem.
func parseNodes(flags []string) ([]scenarios.PlannedNode, error) {
	var nodes []scenarios.PlannedNode
	var problems []error
	seen := map[string]bool{}
	for _, text := range flags {
		node, err := parseNode(text)
		if err == nil && (node.Name == "" || seen[node.Name]) {
			err = errors.New("needs a name of its own")
		}
		if err != nil {
			problems = append(problems, usage(fmt.Errorf("--node %s: %w", text, err),
				"--node name=fast,syncFrequency=10s,changeDetection=Watch"))
		}
		seen[node.Name] = true
		nodes = append(nodes, node)
	}
	return nodes, errors.Join(problems...)
}

func parseNode(text string) (scenarios.PlannedNode, error) {
	node := defaultNode()
	for pair := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(pair, "=")
		var err error
		switch key {
		case "name":
			node.Name = value
		case "syncFrequency":
			node.SyncFrequency, err = time.ParseDuration(value)
		case "cacheTTL":
			node.CacheTTL, err = time.ParseDuration(value)
		case "changeDetection":
			node.ChangeDetection = scenarios.ChangeDetection(value)
		default:
			err = errors.New("is none of name, syncFrequency, changeDetection, cacheTTL")
		}
		if err != nil {
			return node, fmt.Errorf("%s: %w", pair, err)
		}
	}
	return node, nil
}

// mapped reads --image flags. Executables are looked for from here, not from where the keeper is.
func (f *upFlags) mapped() (map[string]string, error) {
	images := map[string]string{}
	for _, text := range f.images {
		name, program, _ := strings.Cut(text, "=")
		if name == "" || program == "" {
			return nil, usage(fmt.Errorf("--image %q is not NAME=EXECUTABLE", text),
				"--image my/service=./my-service")
		}
		path, err := filepath.Abs(program)
		if err != nil {
			return nil, fmt.Errorf("--image %s: %w", text, err)
		}
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			return nil, usage(fmt.Errorf("--image %s: there is no program %s", text, path),
				"--image my/service=./my-service")
		}
		images[name] = path
	}
	return images, nil
}

// reserve makes the cluster's folder, which must not be there.
func (c keptCluster) reserve() error {
	if err := os.MkdirAll(filepath.Dir(c.dir), 0o700); err != nil {
		return fmt.Errorf("make a place for clusters: %w", err)
	}
	err := os.Mkdir(c.dir, 0o700)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	_, err = c.living()
	if err == nil {
		err = usage(fmt.Errorf("cluster %s is up already", c.name),
			"certquake cluster down"+nameFlag(c.name)+", or choose another --name")
	}
	return err
}

// clear removes what is left of a cluster that did not come up, and its folder unless there are
// logs to read.
func (c keptCluster) clear(ctx context.Context, env *Env) error {
	_, err := env.sweep(context.WithoutCancel(ctx), c.facts().Backend, c.path(clusterFolder))
	if err != nil {
		return c.notSwept(err)
	}
	if logs, err := os.ReadDir(c.path(clusterFolder)); err == nil && len(logs) > 0 {
		return fmt.Errorf("certquake cluster down%s removes its logs", nameFlag(c.name))
	}
	return os.RemoveAll(c.dir)
}

// launch starts the keeper and repeats what it says until the cluster is ready. An interrupt ends
// it: its standard input is closed.
func (c keptCluster) launch(ctx context.Context, env *Env, settings []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	log, err := os.Create(c.path(clusterLog))
	if err != nil {
		return fmt.Errorf("write a log: %w", err)
	}
	defer func() { _ = log.Close() }()
	args := append([]string{"cluster", "keep", c.dir}, settings...)
	//nolint:gosec // this very program
	keeper := exec.CommandContext(context.WithoutCancel(ctx), self, args...)
	keeper.Args[0] = os.Args[0]
	keeper.Stderr = log
	keeper.SysProcAttr = detached()
	life, err := keeper.StdinPipe()
	if err != nil {
		return err
	}
	out, err := keeper.StdoutPipe()
	if err != nil {
		return errors.Join(err, life.Close())
	}
	if err = keeper.Start(); err != nil {
		return fmt.Errorf("start the cluster's keeper: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = life.Close() })
	defer stop()
	var word keeperWord
	for lines := json.NewDecoder(out); !word.Ready && lines.Decode(&word) == nil; {
		if word.Say != "" {
			tell(env.Stderr, "certquake: %s\n", word.Say)
			word.Say = ""
		}
	}
	switch {
	case word.Ready:
		return keeper.Process.Release()
	case ctx.Err() != nil:
		_ = keeper.Wait()
		return fmt.Errorf("%w before the cluster was up", errInterrupted)
	case word.Failed != "":
		_ = keeper.Wait()
		return notUp(word.Failed)
	}
	err = keeper.Wait()
	return fmt.Errorf("the cluster's keeper ended by itself: %w, after saying:\n%s", err,
		c.logHead())
}

// notUp is why a cluster did not come up, as its keeper says.
type notUp string

func (e notUp) Error() string { return string(e) }
func (notUp) Unwrap() error   { return harness.ErrBroken }

// logHeadMax bounds what of a crashed keeper's log is in the error.
const logHeadMax = 600

func (c keptCluster) logHead() string {
	text, err := os.ReadFile(c.path(clusterLog))
	if err != nil {
		return err.Error()
	}
	return string(text[:min(len(text), logHeadMax)])
}
