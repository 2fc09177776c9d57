package kind

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	kindcluster "sigs.k8s.io/kind/pkg/cluster"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// The bounds of the steps of a start, on a slow machine.
const (
	containersMax = 2 * time.Minute
	reachableMax  = 5 * time.Minute
	joinedMax     = 3 * time.Minute
	askEvery      = 500 * time.Millisecond
)

// make makes the cluster: kind makes the nodes, and meanwhile each gets its images as soon as its
// container runs, and cert-manager is installed as soon as the API server answers.
func (c *cluster) make(ctx context.Context, stuff *stuff) error {
	room := roomOf(c.machine, readHost(len(c.planned)))
	err := errors.Join(checkMemory(len(c.planned), room.memory),
		checkWatchers(len(c.planned), room.watchers))
	if err != nil {
		return err
	}
	// Somebody may have taken the name while images were pulled.
	if err = vacant(ctx, c.engine, c.home.name); err != nil {
		return err
	}
	if err = c.home.begin(stuff); err != nil {
		return err
	}
	harness.Say(ctx, "creating the kind cluster %s with %s of %s", c.home.name,
		count(len(c.planned), "worker"), stuff.nodeImage)
	reachable := make(chan struct{})
	return all(ctx,
		func(ctx context.Context) error {
			begun := time.Now()
			if err := c.create(ctx, stuff.nodeImage, c.machine.CgroupVersion); err != nil {
				return err
			}
			harness.Say(ctx, "the nodes have joined after %s",
				time.Since(begun).Round(time.Second))
			select {
			case <-reachable:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			return c.settle(ctx, false)
		},
		func(ctx context.Context) error { return c.furnish(ctx, stuff) },
		func(ctx context.Context) error {
			if err := c.connect(ctx); err != nil {
				return err
			}
			close(reachable)
			return c.install(ctx, stuff.manager)
		})
}

// deleteEvery is the time between two attempts to cut a creation short.
const deleteEvery = 300 * time.Millisecond

// creating is taken by the one cluster whose nodes are made: kind takes the name of its network
// from the environment, which the process has only one of.
var creating = make(chan struct{}, 1) //nolint:gochecknoglobals // as the environment is

// create has kind make the nodes and join them. kind cannot be told to stop: when ctx ends, its
// containers are taken away, again and again, until it gives up.
func (c *cluster) create(ctx context.Context, image, cgroups string) error {
	select {
	case creating <- struct{}{}:
		defer func() { <-creating }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := c.engine.useNetwork(c.home.name); err != nil {
		return err
	}
	var outcome error
	done := make(chan struct{})
	go func() {
		defer close(done)
		outcome = c.provider.Create(c.home.name,
			kindcluster.CreateWithV1Alpha4Config(configOf(c.home.name, c.planned, cgroups)),
			kindcluster.CreateWithNodeImage(image),
			kindcluster.CreateWithKubeconfigPath(c.home.kubeconfig()),
			kindcluster.CreateWithRetain(true))
	}()
	select {
	case <-done:
		if outcome != nil {
			return fmt.Errorf("kind: %w; it said last:\n%s%s", explain(outcome), c.said.last(),
				c.lastWords(ctx))
		}
		return nil
	case <-ctx.Done():
	}
	tick := time.NewTicker(deleteEvery)
	defer tick.Stop()
	for {
		// What could not be removed is removed with the rest of the cluster.
		_ = c.provider.Delete(c.home.name, c.home.kubeconfig())
		select {
		case <-done:
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// find waits until every node's container is there and takes images.
func (c *cluster) find(ctx context.Context) ([]node, error) {
	var found []node
	err := until(ctx, "start the containers", askEvery, containersMax,
		func(context.Context) (bool, error) {
			listed, err := c.provider.ListNodes(c.home.name)
			if err != nil || len(listed) < len(c.planned)+1 {
				return false, explainOrNil(err)
			}
			found = nil
			for _, n := range listed {
				found = append(found, node{n})
			}
			return true, nil
		})
	return found, err
}

func explainOrNil(err error) error {
	if err == nil {
		return nil
	}
	return explain(err)
}

// connect waits until the API server answers, and makes a client.
func (c *cluster) connect(ctx context.Context) error {
	err := until(ctx, "start the API server", askEvery, reachableMax,
		func(ctx context.Context) (bool, error) {
			if c.client == nil {
				if err := c.dial(); err != nil {
					return false, err
				}
			}
			return c.answers(ctx)
		})
	if err != nil {
		return err
	}
	return c.pinDNS(ctx)
}

// dial makes a client from what the control plane has written.
func (c *cluster) dial() error {
	text, err := c.provider.KubeConfig(c.home.name, false)
	if err != nil {
		return explain(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(text))
	if err != nil {
		return fmt.Errorf("read the cluster's kubeconfig: %w", err)
	}
	config.QPS = -1 // the API server is our own
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	c.config, c.client = config, client
	return nil
}

// answerMax bounds one question to an API server that may be away.
const answerMax = 2 * time.Second

// answers reports whether the API server says that it is ready.
func (c *cluster) answers(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, answerMax)
	defer cancel()
	_, err := c.client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	return err == nil, err
}

// lastWords returns what nodes said last whose containers have ended by themselves.
func (c *cluster) lastWords(ctx context.Context) string {
	ended, err := c.engine.do(ctx, "ps", "--all", "--filter", "status=exited", "--format",
		"{{.Names}}", "--filter", "label=io.x-k8s.kind.cluster="+c.home.name)
	if err != nil {
		return "" // there is an error already
	}
	var words strings.Builder
	for name := range strings.FieldsSeq(ended) {
		log, err := c.engine.command(ctx, "logs", "--tail", "10", name).CombinedOutput()
		if err == nil {
			fmt.Fprintf(&words, "\nnode %s has ended, after saying:\n%s", name, tail(string(log)))
		}
	}
	return words.String()
}

// settle gives every worker's kubelet its settings and waits until all nodes are ready and
// reach each other. Kubelets that have them already are not restarted, unless all are to be.
func (c *cluster) settle(ctx context.Context, restart bool) error {
	begun := time.Now()
	nodes, err := c.find(ctx)
	if err != nil {
		return err
	}
	if err = c.assign(nodes); err != nil {
		return err
	}
	var tasks []func(context.Context) error
	for _, planned := range c.planned {
		tasks = append(tasks, func(ctx context.Context) error {
			return c.settleNode(ctx, planned, restart)
		})
	}
	if err := all(ctx, tasks...); err != nil {
		return err
	}
	if err := c.awaitNodes(ctx); err != nil {
		return err
	}
	if err := c.awaitNetwork(ctx); err != nil {
		return err
	}
	harness.Say(ctx, "%s ready with the kubelets' settings after %s",
		count(len(c.planned)+1, "node"), time.Since(begun).Round(time.Second))
	return nil
}

func (c *cluster) settleNode(
	ctx context.Context, planned scenarios.PlannedNode, restart bool,
) error {
	worker := c.workers[planned.Name]
	if err := c.configure(ctx, worker, planned, restart); err != nil {
		return err
	}
	return c.ageCache(ctx, worker, planned)
}

// assign notes which nodes stand for the planned ones, in kind's order.
func (c *cluster) assign(nodes []node) error {
	named := map[string]node{}
	for _, n := range nodes {
		named[n.String()] = n
	}
	var found bool
	if c.control, found = named[controlName(c.home.name)]; !found {
		return fmt.Errorf("cluster %s has no node %s", c.home.name, controlName(c.home.name))
	}
	for i, planned := range c.planned {
		worker, found := named[workerName(c.home.name, i)]
		if !found {
			return fmt.Errorf("cluster %s has %s, not the %d of this scenario: choose another "+
				"--cluster, or remove it by certquake cluster prune %s", c.home.name,
				count(len(named)-1, "worker"), len(c.planned), c.home.name)
		}
		c.workers[planned.Name] = worker
	}
	return nil
}

// adopt readies a cluster that is there: what an earlier run left disturbed is put right.
func (c *cluster) adopt(ctx context.Context, stuff *stuff) error {
	harness.Say(ctx, "using the kind cluster %s", c.home.name)
	listed, err := c.provider.ListNodes(c.home.name)
	if err != nil {
		return explain(err)
	}
	if len(listed) == 0 {
		return fmt.Errorf("the containers of cluster %s are gone: certquake cluster prune %s, "+
			"then try again", c.home.name, c.home.name)
	}
	var nodes []node
	for _, n := range listed {
		nodes = append(nodes, node{n})
		if _, err := c.engine.do(ctx, "start", n.String()); err != nil {
			return err
		}
	}
	if err := c.assign(nodes); err != nil {
		return err
	}
	for _, n := range nodes {
		if err := c.network.clear(ctx, n); err != nil {
			return err
		}
	}
	if _, err := c.startKubelet(ctx, c.control); err != nil {
		return err
	}
	if err := c.connect(ctx); err != nil {
		return err
	}
	if err := c.provider.ExportKubeConfig(c.home.name, c.home.kubeconfig(), false); err != nil {
		return explain(err)
	}
	return all(ctx,
		func(ctx context.Context) error { return c.furnishWorkers(ctx, nodes, stuff) },
		func(ctx context.Context) error { return c.settle(ctx, true) },
		func(ctx context.Context) error {
			if _, err := c.startIssuer(ctx); err != nil {
				return err
			}
			_, err := c.startWebhook(ctx)
			return err
		})
}

// file returns the path of a file of the cluster's folder.
func (c *cluster) file(name string) string { return filepath.Join(c.home.dir, name) }

// discard removes a file that is no longer of use.
func discard(path string) error {
	err := os.Remove(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
