package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/cert-manager/cert-manager/pkg/controller"
	"github.com/cert-manager/cert-manager/pkg/healthz"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	// Registers the controllers that the embedded cluster runs, too.
	"github.com/certquake/certquake/clusters/embedded/controlplane/certmanager"
)

const (
	// healthGrace is how long after its lease a silent leader counts as healthy.
	healthGrace = 20 * time.Second
	closeMax    = 5 * time.Second
)

// runController runs cert-manager's controllers while this replica is the leader. It returns
// when ctx ends, when it loses the lease, or when a controller or server fails.
func runController(ctx context.Context, args []string) error {
	var options controllerFlags
	flags := pflag.NewFlagSet("controller", pflag.ContinueOnError)
	options.addFlags(flags)
	if err := parse(flags, args); err != nil {
		return err
	}
	factory, err := controller.NewContextFactory(ctx, options.options)
	if err != nil {
		return fmt.Errorf("make controller context: %w", err)
	}
	shared, err := factory.Build("controller")
	if err != nil {
		return fmt.Errorf("build controller context: %w", err)
	}
	measure(shared)
	health := healthz.NewServer(healthGrace)
	// The servers outlive the work: they end with it, not before it.
	group, serving := errgroup.WithContext(context.WithoutCancel(ctx))
	serving, done := context.WithCancel(serving)
	defer done()
	group.Go(func() error { return serveHealth(serving, health, options.health) })
	group.Go(func() error { return serveMetrics(serving, shared, options.metrics) })
	group.Go(func() error {
		defer done()
		working, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(serving, cancel)()
		work := func(ctx context.Context) error {
			return certmanager.Control(ctx, factory, shared, leftOut(options.selection))
		}
		if !options.wanted {
			return work(working)
		}
		return lead(working, shared, options.election, health.LeaderHealthzAdaptor, work)
	})
	return group.Wait()
}

// measure adds the state of certificates and issuers to the metrics. A controller of a single
// namespace may not see ClusterIssuers.
func measure(shared *controller.Context) {
	resources := shared.SharedInformerFactory.Certmanager().V1()
	shared.Metrics.SetupCertificateCollector(resources.Certificates().Lister())
	shared.Metrics.SetupIssuerCollector(resources.Issuers().Lister())
	if shared.Namespace == "" {
		shared.Metrics.SetupClusterIssuerCollector(resources.ClusterIssuers().Lister())
	}
}

// leftOut returns the controllers that a selection such as "*,-issuers" leaves out.
func leftOut(selection []string) []string {
	var names []string
	for _, item := range selection {
		if name, out := strings.CutPrefix(item, "-"); out {
			names = append(names, name)
		}
	}
	return names
}

// lead does the work while it holds the lease, and gives it back when the work has ended, so
// that the next replica need not wait for it to run out.
func lead(
	ctx context.Context, shared *controller.Context, how election,
	health *leaderelection.HealthzAdaptor, work func(context.Context) error,
) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, how.namespace,
		"cert-manager-controller", shared.Client.CoreV1(), shared.Client.CoordinationV1(),
		resourcelock.ResourceLockConfig{
			Identity:      fmt.Sprintf("%s-%d", host, time.Now().UnixNano()),
			EventRecorder: shared.Recorder,
		})
	if err != nil {
		return fmt.Errorf("make lease: %w", err)
	}
	election, cancel := context.WithCancel(ctx)
	defer cancel()
	worked := make(chan error, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, Name: "cert-manager-controller", WatchDog: health, ReleaseOnCancel: true,
		LeaseDuration: how.lease, RenewDeadline: how.renew, RetryPeriod: how.interval,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				worked <- work(ctx)
				cancel()
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("make elector: %w", err)
	}
	elector.Run(election)
	select {
	case err := <-worked:
		if err != nil || ctx.Err() != nil {
			return err
		}
	default:
		if ctx.Err() != nil {
			return nil
		}
	}
	return errors.New("lost the lease")
}

func serveHealth(ctx context.Context, server *healthz.Server, address string) error {
	listener, err := listen(ctx, address)
	if err != nil {
		return err
	}
	return server.Start(ctx, listener)
}

func serveMetrics(ctx context.Context, shared *controller.Context, address string) error {
	listener, err := listen(ctx, address)
	if err != nil {
		return err
	}
	server := shared.Metrics.NewServer(listener)
	defer context.AfterFunc(ctx, func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeMax)
		defer cancel()
		_ = server.Shutdown(closing) // the process ends, whatever it says
	})()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	return config.Listen(ctx, "tcp", address)
}
