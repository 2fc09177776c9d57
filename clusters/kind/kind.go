// Package kind brings Kubernetes up in containers of this machine, by kind: one control plane and
// one worker for each planned node, each worker with the kubelet settings that its node has.
//
// Call Options.Check with a plan, then Options.Up, which returns a clusters.Target. A cluster has a
// Docker network, a kubeconfig and a folder of its own, and nothing is left of it when it is taken
// down, but for images. What a killed process left is found by a lock that it no longer holds, and
// removed by Options.Prune. The container engine is Docker or Podman.
package kind

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	kindcluster "sigs.k8s.io/kind/pkg/cluster"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// Image is the name of the workload program's image, without its tag.
const Image = "certquake/workload"

// Options say what a cluster is made of. The zero value finds or chooses everything.
type Options struct {
	// Cluster names a cluster that stays: one that an earlier run made is used, and else made.
	Cluster string
	// Keep leaves the cluster that a run made.
	Keep bool
	// NodeImage is the image of all nodes. When empty, it is a certquake/node that the engine has,
	// and else the one that this version of kind was made for, which is pulled.
	NodeImage string
	// CertManager is a file or an HTTPS address of cert-manager's manifest, or "chart" for the one
	// in cert-manager's Go module. When empty it is the chart if the engine has certquake's images
	// of cert-manager, and else the published manifest.
	CertManager string
	// Engine is docker or podman. When empty it is what KIND_EXPERIMENTAL_PROVIDER says,
	// and else the first that answers.
	Engine string
	// Bin is the folder of the workload program, as package programs has it.
	Bin string
	// Images maps further names of images to static executables.
	Images map[string]string
	// Dir takes the kubeconfig, and is made. When empty, it is the cluster's own folder.
	Dir string

	leaf leaf // of the queue that delays packets; tests have another than the kernel's netem
}

// Flags adds the settings that a person has.
func (o *Options) Flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.Cluster, "cluster", "",
		"`NAME` of a cluster that stays: made by the first run, used by the next ones")
	flags.BoolVar(&o.Keep, "keep", false, "leave the cluster that the run made")
	flags.StringVar(&o.NodeImage, "node-image", "",
		"`IMAGE` of the nodes (default: a local certquake/node, else kind's own)")
	flags.StringVar(&o.CertManager, "cert-manager", "",
		"`FILE|URL|chart` with cert-manager (default: the published manifest of "+
			certManagerVersion+", or its chart for images built here)")
	flags.StringVar(&o.Engine, "engine", "", "docker or podman (default: what there is)")
}

// Verbs returns what a Target of Up performs by itself.
func Verbs() []scenarios.Verb {
	return []scenarios.Verb{
		scenarios.PauseSync, scenarios.ResumeSync, scenarios.ConfigureKubelet,
		scenarios.StopIssuer, scenarios.StartIssuer, scenarios.StopWebhook, scenarios.StartWebhook,
		scenarios.StopAPI, scenarios.StartAPI, scenarios.StopNode, scenarios.StartNode,
		scenarios.DisturbNetwork, scenarios.RestoreNetwork,
	}
}

// cluster is one that is up, or on its way.
type cluster struct {
	options  Options
	engine   engine
	machine  machine
	provider *kindcluster.Provider
	home     *holding
	planned  []scenarios.PlannedNode
	said     *talk

	control node            // the control plane
	workers map[string]node // by planned node
	config  *rest.Config
	client  kubernetes.Interface

	network *network
	watcher context.CancelFunc // ends the watch on the control plane's container
	tasks   sync.WaitGroup
	broken  chan struct{}
	ending  sync.Once
	ended   error
}

// Up brings a cluster up, or the one that Options.Cluster names to what the nodes ask for. It takes
// about a minute; harness.Say tells how far it is. The cluster outlives ctx: end it by Down. If ctx
// ends first, everything is removed within seconds. Of several calls at once, one at a time has its
// nodes made. Errors wrap clusters.ErrBroken, harness.ErrSettings where another setting helps, or
// the cause of ctx's end.
func (o Options) Up(
	ctx context.Context, nodes []scenarios.PlannedNode,
) (*clusters.Target, error) {
	target, err := o.up(ctx, nodes)
	switch {
	case err == nil:
		return target, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("bring up the kind cluster: %w", context.Cause(ctx))
	case errors.Is(err, clusters.ErrBroken), errors.Is(err, harness.ErrSettings):
		return nil, fmt.Errorf("bring up the kind cluster: %w", err)
	}
	return nil, fmt.Errorf("bring up the kind cluster: %w: %w", clusters.ErrBroken, err)
}

func (o Options) up(ctx context.Context, nodes []scenarios.PlannedNode) (*clusters.Target, error) {
	begun := time.Now()
	if err := checkNodes(nodes); err != nil {
		return nil, err
	}
	home, at, err := o.claim(ctx)
	if err != nil {
		return nil, err
	}
	c := &cluster{
		options: o, engine: at.engine, machine: at.machine, home: home, planned: nodes,
		said: &talk{ctx: ctx}, workers: map[string]node{}, broken: make(chan struct{}),
	}
	c.provider = kindcluster.NewProvider(at.engine.option(),
		kindcluster.ProviderWithLogger(c.said))
	c.network = newNetwork(c)
	target, err := c.raise(ctx)
	if err != nil {
		return nil, errors.Join(err, c.abandon(ctx))
	}
	harness.Say(ctx, "ready after %s", time.Since(begun).Round(time.Second))
	return target, nil
}

// abandonMax bounds the removal of a cluster that did not come up. It is less than a command that
// was interrupted waits for, so that somebody is told what is left.
const abandonMax = 25 * time.Second

// abandon removes a cluster that did not come up. One that was there before stays.
func (c *cluster) abandon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonMax)
	defer cancel()
	c.stopTasks()
	if c.home.known {
		return c.home.release()
	}
	return c.home.remove(ctx)
}

// raise makes the cluster, or readies the one that is there, and describes it.
func (c *cluster) raise(ctx context.Context) (*clusters.Target, error) {
	stuff, err := c.gather(ctx)
	if err != nil {
		return nil, err
	}
	if c.home.known {
		err = c.adopt(ctx, stuff)
	} else {
		err = c.make(ctx, stuff)
	}
	if err != nil {
		return nil, err
	}
	if c.stays() {
		if err := c.home.keep(); err != nil {
			return nil, err
		}
	}
	return c.target(ctx, stuff)
}

// stays reports whether the cluster outlives its run.
func (c *cluster) stays() bool { return c.options.Keep || c.options.Cluster != "" }

// target describes the cluster.
func (c *cluster) target(ctx context.Context, stuff *stuff) (*clusters.Target, error) {
	version, err := c.client.Discovery().ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("ask the API server for its version: %w", err)
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.watcher = stop
	c.tasks.Go(func() { c.watch(watching) })
	names := map[string]string{}
	for planned, worker := range c.workers {
		names[planned] = worker.String()
	}
	harness.Say(ctx, "Kubernetes %s and cert-manager %s with %s", version.GitVersion,
		stuff.manager.version, count(len(c.planned), "worker"))
	run := "" // whose objects the next one finds
	if c.stays() {
		run = kube.NewRun()
	}
	return &clusters.Target{
		Config: c.config, Kubeconfig: c.home.kubeconfig(), Nodes: names, Image: stuff.workload,
		Versions: map[string]string{
			"kubernetes": version.GitVersion, "cert-manager": stuff.manager.version,
			"kind": kindVersion, "node-image": stuff.nodeImage, "engine": c.engine.String(),
		},
		Performs: c.performs(), Shared: c.options.Cluster != "", Run: run,
		Broken: c.broken, Cause: c.cause, Down: c.down,
	}, nil
}

// performs returns the Target's Performs.
func (c *cluster) performs() map[scenarios.Verb]clusters.Perform {
	return map[scenarios.Verb]clusters.Perform{
		scenarios.PauseSync:        c.onWorker(c.pauseSync),
		scenarios.ResumeSync:       c.onWorker(c.resumeSync),
		scenarios.ConfigureKubelet: c.onWorker(c.configureKubelet),
		scenarios.StopIssuer:       c.wholly(c.stopIssuer),
		scenarios.StartIssuer:      c.wholly(c.startIssuer),
		scenarios.StopWebhook:      c.wholly(c.stopWebhook),
		scenarios.StartWebhook:     c.wholly(c.startWebhook),
		scenarios.StopAPI:          c.wholly(c.stopAPI),
		scenarios.StartAPI:         c.wholly(c.startAPI),
		scenarios.StopNode:         c.onWorker(c.stopNode),
		scenarios.StartNode:        c.onWorker(c.startNode),
		scenarios.DisturbNetwork:   c.network.disturb,
		scenarios.RestoreNetwork:   c.network.restore,
	}
}

// onWorker has something done on the worker that stands for an action's node.
func (c *cluster) onWorker(
	do func(ctx context.Context, worker node, action scenarios.Action) (string, error),
) clusters.Perform {
	return func(ctx context.Context, action scenarios.Action) (string, error) {
		worker, found := c.workers[action.Node]
		if !found {
			return "", fmt.Errorf("%w: no node %q", harness.ErrUnsupported, action.Node)
		}
		return do(ctx, worker, action)
	}
}

// wholly has something done to a part of the cluster as a whole.
func (c *cluster) wholly(do func(ctx context.Context) (string, error)) clusters.Perform {
	return func(ctx context.Context, action scenarios.Action) (string, error) {
		if action.Issuer != "" || action.Mode != "" && action.Mode != scenarios.OutageStop {
			return "", fmt.Errorf("%w: only cert-manager as a whole can be stopped like this",
				harness.ErrUnsupported)
		}
		return do(ctx)
	}
}

// watchEvery is how often the control plane's container is looked at.
const watchEvery = 5 * time.Second

// watch closes broken when the control plane's container is no longer running.
func (c *cluster) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			running, err := c.engine.running(ctx, c.control.String())
			if err == nil && !running {
				close(c.broken)
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// cause says why the cluster ended by itself, or is nil while it has not.
func (c *cluster) cause() error {
	select {
	case <-c.broken:
		return fmt.Errorf("%w: the container %s of its control plane has ended by itself",
			clusters.ErrBroken, c.control)
	default:
		return nil
	}
}

// stopTasks ends what goes on beside the calls.
func (c *cluster) stopTasks() {
	if c.watcher != nil {
		c.watcher()
	}
	c.network.end()
	c.tasks.Wait()
}

// down takes the cluster down, or leaves one that stays. It may be called again.
func (c *cluster) down(ctx context.Context) error {
	c.ending.Do(func() {
		c.stopTasks()
		if !c.stays() {
			c.ended = c.home.remove(ctx)
			return
		}
		c.ended = c.home.release()
		if c.options.Keep {
			//nolint:contextcheck // of the run, which is told
			harness.Say(c.said.ctx, "cluster %s stays: export KUBECONFIG=%s, and remove it by "+
				"certquake cluster prune %s", c.home.name, c.home.kubeconfig(), c.home.name)
		}
	})
	return c.ended
}

// count prints a number of things.
func count(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
