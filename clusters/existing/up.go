package existing

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/access"
	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

const (
	// askLimit bounds the time it takes to find out whether a run is possible.
	askLimit = 15 * time.Second
	// leaveLimit bounds the removal of what was made for a run that was not possible after all.
	leaveLimit = 20 * time.Second
)

// cluster is somebody's cluster, and what a run has made in it that is not the plan's.
type cluster struct {
	settings   settings
	plan       scenarios.Plan
	run        string
	namespaces []string // of the run, in alphabetical order
	config     *rest.Config
	client     kubernetes.Interface
	dynamic    dynamic.Interface
	versions   map[string]string
	unlike     map[string]string // planned nodes that the cluster's are not like
	absent     []string          // namespaces that are to be made
	left       []owned           // namespaces that a run made that may have been killed
	own        []owned           // namespaces that are to be removed
	locks      []*lock

	broken chan struct{} // closed when a namespace was taken away
	mu     sync.Mutex
	why    error
}

// up finds out whether the run is possible, makes its namespaces, unless they are there, and takes
// possession of them.
func up(ctx context.Context, s settings, plan scenarios.Plan) (*clusters.Target, error) {
	c := &cluster{
		settings: s, plan: plan, run: kube.NewRun(), namespaces: s.places(plan),
		versions: map[string]string{}, broken: make(chan struct{}),
	}
	if err := c.connect(ctx); err != nil {
		return nil, err
	}
	if err := c.inspect(ctx); err != nil {
		return nil, err
	}
	if err := c.occupy(ctx); err != nil {
		leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveLimit)
		defer cancel()
		return nil, errors.Join(err, c.down(leaving))
	}
	harness.Say(ctx, "Kubernetes %s with cert-manager %s at %s, namespace %s, run %s",
		c.versions["kubernetes"], c.versions["cert-manager"], c.config.Host,
		c.settings.namespace, c.run)
	target := s.sketch(plan)
	target.Config, target.Kubeconfig = c.config, s.account().Files()
	target.Versions, target.Run, target.Unlike = c.versions, c.run, c.unlike
	target.Broken, target.Cause, target.Down = c.broken, c.cause, c.down
	return &target, nil
}

// connect makes the clients and sees that there is an API server that knows the account.
func (c *cluster) connect(ctx context.Context) error {
	config, err := c.settings.account().Config()
	if err != nil {
		return err
	}
	config.QPS = -1 // few requests are made, and the server has priorities of its own
	c.config = config
	if c.client, err = kubernetes.NewForConfig(config); err != nil {
		return wrong("--kubeconfig: %w", err)
	}
	if c.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return wrong("--kubeconfig: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	var version struct {
		GitVersion string `json:"gitVersion"`
	}
	if err = c.ask(ctx, "/version", &version); err == nil {
		c.versions["kubernetes"] = version.GitVersion
		return nil
	}
	where := "the API server at " + config.Host
	if chosen := c.settings.account().Current(); chosen != "" {
		where += fmt.Sprintf(" (context %s)", chosen)
	}
	if _, answered := errors.AsType[*apierrors.StatusError](err); !answered &&
		errors.Is(context.Cause(ctx), context.Canceled) {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", clusters.ErrBroken, access.Explain(err, where))
}

// inspect returns everything that keeps the run from being performed, joined. It makes nothing.
func (c *cluster) inspect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	if err := c.permitted(ctx); err != nil {
		// What else is asked would be refused for the same reason.
		return errors.Join(err, c.findCertManager(ctx), c.checkNodes(ctx))
	}
	return errors.Join(c.findNamespaces(ctx), c.findCertManager(ctx), c.checkNodes(ctx))
}

// occupy takes possession of the run's namespaces.
func (c *cluster) occupy(ctx context.Context) error {
	for _, namespace := range c.absent {
		if err := c.makeNamespace(ctx, namespace); err != nil {
			return err
		}
	}
	for _, namespace := range c.namespaces {
		held, err := c.acquire(ctx, namespace)
		if err != nil {
			return err
		}
		c.locks = append(c.locks, held)
	}
	// Now it is known that whoever made them does not go on.
	c.own = append(c.own, c.left...)
	return c.tryWebhook(ctx)
}

// lose notes why the cluster cannot be used any longer.
func (c *cluster) lose(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why == nil {
		c.why = fmt.Errorf("%w: %w", clusters.ErrBroken, why)
		close(c.broken)
	}
}

// cause returns why the cluster cannot be used any longer, nil while it can.
func (c *cluster) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}

// down removes the namespaces that the run made and gives the others back. Those it removes stay
// locked for as long as they are there, so that no other run begins in them.
func (c *cluster) down(ctx context.Context) error {
	for _, held := range c.locks {
		held.stop()
	}
	problems := []error{c.removeNamespaces(ctx)}
	for _, held := range c.locks {
		problems = append(problems, held.release(ctx))
	}
	c.locks = nil
	return errors.Join(problems...)
}
