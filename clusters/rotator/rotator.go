package rotator

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	registry "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/certquake/certquake/clusters/rotator/api"
)

// Options say how the operator runs. The zero value looks after all namespaces, elects a leader in
// the namespace that it runs in, and serves nothing.
type Options struct {
	// Namespaces are those to look after. None means all.
	Namespaces []string
	// NoLeaderElection is for one process that certainly is the only one.
	NoLeaderElection bool
	// LeaseNamespace has the Lease of the leader; it must be given outside a cluster.
	LeaseNamespace string
	// MetricsAddress and HealthAddress are served by plain HTTP; nothing is when they are empty.
	// Health is /healthz and /readyz.
	MetricsAddress string
	HealthAddress  string
	// Poll is how often consumers are asked during a rotation, 15s by default.
	Poll time.Duration
	// Ask makes the requests to consumers, whose addresses are those of their pods. Nil connects to
	// them, which an operator outside of the cluster's network cannot.
	Ask http.RoundTripper
	// Logger is told of every step. What controller-runtime says is less important by 4 levels of
	// verbosity, unless it is an error; the first Logger given in a process takes that.
	Logger logr.Logger
}

const (
	pollDefault = 15 * time.Second
	lookersMax  = 4               // RotatingSecrets looked after at once
	lookLimit   = 2 * time.Minute // of one look, with consumers that do not answer
	stopLimit   = 20 * time.Second
	chatter     = 4 // how much less what controller-runtime says matters than what this says
)

// Run rotates secrets until the context ends, which is no error. It asks the API server first
// whether it can: without the definition (CRD) it wraps ErrNotInstalled, and with an account that
// has not got everything in Rules, ErrForbidden.
func Run(ctx context.Context, config *rest.Config, o Options) error {
	if err := run(ctx, config, o); err != nil {
		return fmt.Errorf("rotate secrets: %w", err)
	}
	return nil
}

func run(ctx context.Context, config *rest.Config, o Options) error {
	if err := o.complete(); err != nil {
		return err
	}
	if o.Logger.GetSink() == nil {
		o.Logger = logr.Discard()
	}
	log.SetLogger(o.Logger)
	options, err := o.manager()
	if err != nil {
		return err
	}
	if err = o.check(ctx, config); err != nil {
		return err
	}
	m, err := manager.New(config, options)
	if err != nil {
		return listening(fmt.Errorf("reach the cluster: %w", err))
	}
	if err := o.add(m); err != nil {
		return err
	}
	o.begin()
	return listening(m.Start(ctx))
}

// begin says what the operator is about to do.
func (o *Options) begin() {
	where := "all namespaces"
	if len(o.Namespaces) > 0 {
		where = "namespaces " + strings.Join(o.Namespaces, ", ")
	}
	lease := "none"
	if !o.NoLeaderElection {
		lease = o.LeaseNamespace + "/" + name
	}
	o.Logger.Info("looking after RotatingSecrets in "+where,
		"lease", lease, "metrics", o.MetricsAddress, "health", o.HealthAddress)
}

// lead says when this process is the one that works.
func (o *Options) lead(ctx context.Context) error {
	o.Logger.Info("this process rotates from now on")
	<-ctx.Done()
	return nil
}

// listening says of an address that cannot be listened on what to do about it.
func listening(err error) error {
	if failed, ok := errors.AsType[*net.OpError](err); ok && failed.Op == "listen" {
		return fmt.Errorf("serve metrics and health: %w: choose another --metrics-address or "+
			"--health-address", failed)
	}
	return err
}

// newScheme returns the types that the operator reads and writes.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	err := errors.Join(
		core.AddToScheme(scheme), batch.AddToScheme(scheme), api.AddToScheme(scheme))
	if err != nil {
		return nil, fmt.Errorf("know the types: %w", err)
	}
	return scheme, nil
}

// manager returns what the operator is run with. Watches wake it up, and hold no more than they
// must: of Secrets only what is labelled, and no key. What it decides on is read when it decides.
func (o Options) manager() (manager.Options, error) {
	scheme, err := newScheme()
	if err != nil {
		return manager.Options{}, err
	}
	labelled := func(label string) cache.ByObject {
		requirement, _ := labels.NewRequirement(label, selection.Exists, nil)
		return cache.ByObject{Label: labels.NewSelector().Add(*requirement)}
	}
	options := manager.Options{
		Scheme: scheme, Logger: o.Logger.V(chatter),
		GracefulShutdownTimeout: new(stopLimit),
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			&core.Secret{}: labelled(Label),
			&batch.Job{}:   labelled(ownerLabel),
		}},
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{
			&api.RotatingSecret{}, &core.Secret{}, &core.Pod{}, &batch.Job{},
		}}},
		LeaderElection: !o.NoLeaderElection, LeaderElectionID: name,
		LeaderElectionNamespace:       o.LeaseNamespace,
		LeaderElectionReleaseOnCancel: true, // nothing is written after Start returned
		Metrics:                       metricsserver.Options{BindAddress: o.MetricsAddress},
		HealthProbeBindAddress:        o.HealthAddress,
	}
	if o.MetricsAddress == "" {
		options.Metrics.BindAddress = "0" // which is off; empty is not
	}
	for _, namespace := range o.Namespaces {
		if options.Cache.DefaultNamespaces == nil {
			options.Cache.DefaultNamespaces = map[string]cache.Config{}
		}
		options.Cache.DefaultNamespaces[namespace] = cache.Config{}
	}
	return options, nil
}

// add adds the controller.
func (o *Options) add(m manager.Manager) error {
	shown, err := newMetrics(registry.Registry)
	if err != nil {
		return err
	}
	r := &reconciler{
		client: m.GetClient(), events: m.GetEventRecorder(name), now: time.Now,
		random: rand.Reader, scraper: newScraper(time.Now, o.Ask), metrics: shown, poll: o.Poll,
		log: o.Logger,
	}
	again := true // the same names are used by the next Run of a process
	err = builder.ControllerManagedBy(m).
		Named(name).
		For(&api.RotatingSecret{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Owns(&batch.Job{}).
		WatchesMetadata(&core.Secret{}, handler.EnqueueRequestsFromMapFunc(owner)).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: lookersMax, ReconciliationTimeout: lookLimit,
			SkipNameValidation: &again,
		}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	return errors.Join(
		m.Add(manager.RunnableFunc(o.lead)),
		m.AddHealthzCheck("ping", healthz.Ping), m.AddReadyzCheck("ping", healthz.Ping))
}

// owner finds the RotatingSecret of a Secret by its label.
func owner(_ context.Context, secret client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{
		Namespace: secret.GetNamespace(), Name: secret.GetLabels()[Label],
	}}}
}
