// Package embedded brings up a Kubernetes without containers on this very machine: the program
// controlplane, a module of its own in the folder below, runs etcd, the API server, kubelets and
// cert-manager in namespaces of its own, with pods as processes.
//
// Call Check with a plan, then Up, which returns a clusters.Target. The package finds or builds the
// programs, starts controlplane as a child, speaks its protocol, and promises that nothing is left
// of a cluster however its owner ends: the child's standard input is its life line. It needs Linux.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// Image is the name of the workload program's image.
const Image = "certquake/workload"

// readyMax and readyMaxNode bound the start of a cluster, which takes 5 s on an idle machine.
const (
	readyMax     = 90 * time.Second
	readyMaxNode = 2 * time.Second // in addition for each node
)

// Options say where programs and files are. The zero value finds or chooses everything.
type Options struct {
	// Bin is the folder of controlplane, ctrinit and workload, which are then used as they are.
	// When empty they are looked for beside the running program, and else built from a checkout of
	// certquake that the working folder or the running program is in.
	Bin string
	// Images maps further names of images to static executables. Image may be among them.
	Images map[string]string
	// Dir takes the kubeconfig and logs. It must not exist, unless as an empty folder; when empty,
	// it is a fresh one for temporary files. It is removed in the end, unless the cluster broke.
	Dir string

	readyMax time.Duration // instead of the usual, for tests
}

// errLinux is of a machine whose kernel has no namespaces.
var errLinux = errors.New("the embedded cluster needs Linux: use another backend here")

// Up brings up a cluster with the nodes, which takes 5 to 20 seconds, or minutes when the programs
// must be built first; harness.Say tells how far it is. The cluster outlives ctx: end it by Down.
// Errors wrap clusters.ErrBroken, or the cause of ctx's end.
func Up(
	ctx context.Context, nodes []scenarios.PlannedNode, o Options,
) (*clusters.Target, error) {
	target, err := up(ctx, nodes, o)
	switch {
	case err == nil:
		return target, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("bring up the embedded cluster: %w", context.Cause(ctx))
	case errors.Is(err, clusters.ErrBroken):
		return nil, fmt.Errorf("bring up the embedded cluster: %w", err)
	}
	return nil, fmt.Errorf("bring up the embedded cluster: %w: %w", clusters.ErrBroken, err)
}

func up(
	ctx context.Context, nodes []scenarios.PlannedNode, o Options,
) (*clusters.Target, error) {
	if runtime.GOOS != "linux" {
		return nil, errLinux
	}
	if err := checkNodes(nodes); err != nil {
		return nil, err
	}
	programs, err := locate(ctx, o.Bin)
	if err != nil {
		return nil, err
	}
	images, err := imagesOf(programs, o.Images)
	if err != nil {
		return nil, err
	}
	dir, err := openFolder(o.Dir)
	if err != nil {
		return nil, err
	}
	c := &cluster{names: clusterNames(nodes), folder: dir}
	err = c.start(ctx, programs, c.config(nodes, images), o.limit(len(nodes)))
	if err != nil {
		return nil, err
	}
	target, err := c.target(ctx, nodes)
	if err != nil {
		return nil, errors.Join(err, c.down(context.WithoutCancel(ctx)))
	}
	return target, nil
}

func (o Options) limit(nodes int) time.Duration {
	if o.readyMax > 0 {
		return o.readyMax
	}
	return readyMax + time.Duration(nodes)*readyMaxNode
}

// imagesOf returns the images with the workload's own, and says what is wrong with any.
func imagesOf(bin string, further map[string]string) (map[string]string, error) {
	images := map[string]string{Image: filepath.Join(bin, programWorkload)}
	maps.Copy(images, further)
	var problems []error
	for name, program := range images {
		path, err := filepath.Abs(program)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", name, err)
		}
		images[name] = path
		if err := kit().Check(path, true); err != nil {
			problems = append(problems, fmt.Errorf("image %s: %w", name, err))
		}
	}
	return images, errors.Join(problems...)
}

// cluster is a running control plane and what belongs to it.
type cluster struct {
	*child
	names  map[string]string // planned node: its name in the cluster
	folder *folder
	ending sync.Mutex // lets one down at a time touch the folder
}

func (c *cluster) config(nodes []scenarios.PlannedNode, images map[string]string) config {
	first := config{Dir: c.folder.path, Images: images}
	for _, node := range nodes {
		first.Nodes = append(first.Nodes, nodeConfig{c.names[node.Name], settingsOf(node)})
	}
	return first
}

// start starts the control plane and waits until it is ready. What it made is removed if it is not,
// but for the logs of one that failed.
func (c *cluster) start(
	ctx context.Context, programs string, first config, limit time.Duration,
) error {
	harness.Say(ctx, "starting an embedded Kubernetes with %s", count(len(first.Nodes), "node"))
	var err error
	c.child, err = startChild(ctx, filepath.Join(programs, programControlPlane), c.folder, first)
	if err != nil {
		return errors.Join(err, c.folder.remove())
	}
	err = c.awaitReady(ctx, limit)
	if err == nil {
		return nil
	}
	c.end(context.WithoutCancel(ctx))
	if ctx.Err() != nil || !c.folder.hasLogs() {
		return errors.Join(err, c.folder.remove())
	}
	return errors.Join(fmt.Errorf("%w (logs are in %s)", err, c.folder.path), c.folder.keep())
}

// target describes the cluster once it is ready.
func (c *cluster) target(
	ctx context.Context, nodes []scenarios.PlannedNode,
) (*clusters.Target, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.ready.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's kubeconfig: %w", err)
	}
	config.QPS = -1 // the API server is our own
	if err := c.ageCaches(ctx, config, nodes); err != nil {
		return nil, err
	}
	harness.Say(ctx, "Kubernetes %s and cert-manager %s are ready at %s, with %d MB in use",
		c.ready.Versions["kubernetes"], c.ready.Versions["cert-manager"], c.ready.Server,
		c.ready.memory()>>20)
	return &clusters.Target{
		Config: config, Kubeconfig: c.ready.Kubeconfig, Nodes: c.names, Image: Image,
		Versions: c.ready.Versions, Performs: c.performs(config),
		Broken: c.broken, Cause: c.cause, Down: c.down,
	}, nil
}

// cause says why the cluster ended by itself, or is nil while it has not.
func (c *cluster) cause() error {
	select {
	case <-c.broken:
		return fmt.Errorf("%w (logs are in %s)", c.failure(), c.folder.path)
	default:
		return nil
	}
}

// down ends the cluster and removes its files, but for the logs of one that broke. It may be called
// again, and then returns when the first call does.
func (c *cluster) down(ctx context.Context) error {
	c.end(ctx)
	c.ending.Lock()
	defer c.ending.Unlock()
	if c.cause() != nil {
		return c.folder.keep()
	}
	if err := c.folder.remove(); err != nil {
		return fmt.Errorf("remove the files of the embedded cluster: %w", err)
	}
	return nil
}

// clusterNames gives every node a name that the control plane takes: its own, or node-<index>.
func clusterNames(nodes []scenarios.PlannedNode) map[string]string {
	names := make(map[string]string, len(nodes))
	for i, node := range nodes {
		names[node.Name] = node.Name
		if len(node.Name) > nodeNameMax {
			names[node.Name] = fmt.Sprintf("certquake-node-%d", i)
		}
	}
	return names
}

// count prints a number of things.
func count(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
