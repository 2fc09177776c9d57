// Package certmanager runs cert-manager from its own packages. [RunController] is the
// controller with the CA injector, [RunWebhook] the admission webhook; they are two processes,
// so that an issuer outage and a webhook outage are two different faults. Both install what
// they need and wait for an API server that is still starting.
package certmanager

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cert-manager/cert-manager/pkg/controller"
	"golang.org/x/sync/errgroup"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// Namespace holds what cert-manager keeps for itself and for ClusterIssuers.
const Namespace = "cert-manager"

// workers is upstream's default number of them per controller.
const workers = 5

// RunController runs the controllers and the CA injector until ctx ends. It blocks.
func RunController(ctx context.Context, kubeconfig string) error {
	config, err := connect(ctx, kubeconfig)
	if err != nil {
		return err
	}
	if err := installDefinitions(ctx, config); err != nil {
		return err
	}
	ctrl.SetLogger(klog.Background())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return inject(ctx, config) })
	group.Go(func() error { return control(ctx, kubeconfig) })
	return group.Wait()
}

// control runs the controllers that package controllers registered, with upstream's defaults.
func control(ctx context.Context, kubeconfig string) error {
	factory, err := controller.NewContextFactory(ctx, options(kubeconfig))
	if err != nil {
		return fmt.Errorf("make controller context: %w", err)
	}
	shared, err := factory.Build()
	if err != nil {
		return fmt.Errorf("build controller context: %w", err)
	}
	return Control(ctx, factory, shared, nil)
}

// Control runs all registered controllers but those that are left out, until ctx ends.
func Control(
	ctx context.Context, factory *controller.ContextFactory, shared *controller.Context,
	leftOut []string,
) error {
	group, ctx := errgroup.WithContext(ctx)
	for name, build := range controller.Known() {
		if slices.Contains(leftOut, name) {
			continue
		}
		one, err := build(factory)
		if err != nil {
			return fmt.Errorf("make controller %s: %w", name, err)
		}
		group.Go(func() error {
			if err := one.Run(workers, ctx); err != nil {
				return fmt.Errorf("controller %s: %w", name, err)
			}
			return nil
		})
	}
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	shared.HTTP01ResourceMetadataInformersFactory.Start(ctx.Done())
	return group.Wait()
}

func options(kubeconfig string) controller.ContextOptions {
	return controller.ContextOptions{
		Kubeconfig:         kubeconfig,
		KubernetesAPIQPS:   1000, // the limits protect a shared API server; this one is ours
		KubernetesAPIBurst: 1000,
		IssuerOptions:      controller.IssuerOptions{ClusterResourceNamespace: Namespace},
		CertificateOptions: controller.CertificateOptions{
			CopiedAnnotationPrefixes: []string{
				"*", "-kubectl.kubernetes.io/", "-fluxcd.io/", "-argocd.argoproj.io/",
			},
			CertificateRequestMinimumBackoffDuration: time.Hour,
			CertificateRequestMaximumBackoffDuration: 32 * time.Hour,
		},
		SchedulerOptions: controller.SchedulerOptions{MaxConcurrentChallenges: 60},
	}
}

// connect reads the kubeconfig and makes the namespace, waiting for the API server.
func connect(ctx context.Context, kubeconfig string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	config.QPS = -1
	config.UserAgent = "cert-manager" // without one, server-side apply has no field manager
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	namespace := &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: Namespace}}
	err = poll(ctx, func(ctx context.Context) error {
		_, refused := client.CoreV1().Namespaces().
			Create(ctx, namespace, meta.CreateOptions{})
		return ignore(refused, apierrors.IsAlreadyExists)
	})
	if err != nil {
		return nil, fmt.Errorf("make namespace: %w", err)
	}
	return config, nil
}
