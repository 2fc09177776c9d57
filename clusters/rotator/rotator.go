package rotator

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
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
	// Logger takes what controller-runtime says too; the first one given in a process stays.
	Logger logr.Logger
}

const (
	pollDefault = 15 * time.Second
	lookersMax  = 4               // RotatingSecrets looked after at once
	lookLimit   = 2 * time.Minute // of one look, with consumers that do not answer
)

// errPoll is of a time between two questions that is none.
var errPoll = errors.New("the time between two looks at consumers must be 1s at least")

// Run rotates secrets until the context ends, which is no error. The RotatingSecrets' definition
// (CRD) must have been applied.
func Run(ctx context.Context, config *rest.Config, o Options) error {
	if err := run(ctx, config, o); err != nil {
		return fmt.Errorf("rotate secrets: %w", err)
	}
	return nil
}

func run(ctx context.Context, config *rest.Config, o Options) error {
	if o.Poll == 0 {
		o.Poll = pollDefault
	}
	if o.Poll < time.Second {
		return errPoll
	}
	if o.Logger.GetSink() == nil {
		o.Logger = logr.Discard()
	}
	log.SetLogger(o.Logger)
	options, err := o.manager()
	if err != nil {
		return err
	}
	m, err := manager.New(config, options)
	if err != nil {
		return fmt.Errorf("reach the cluster: %w", err)
	}
	if err := o.add(m); err != nil {
		return err
	}
	return m.Start(ctx)
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
		Scheme: scheme, Logger: o.Logger,
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
func (o Options) add(m manager.Manager) error {
	shown, err := newMetrics(registry.Registry)
	if err != nil {
		return err
	}
	r := &reconciler{
		client: m.GetClient(), events: m.GetEventRecorder(name), now: time.Now,
		random: rand.Reader, scraper: newScraper(time.Now), metrics: shown, poll: o.Poll,
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
		m.AddHealthzCheck("ping", healthz.Ping), m.AddReadyzCheck("ping", healthz.Ping))
}

// owner finds the RotatingSecret of a Secret by its label.
func owner(_ context.Context, secret client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{
		Namespace: secret.GetNamespace(), Name: secret.GetLabels()[Label],
	}}}
}
