package main

import (
	"context"
	"fmt"

	certmanagerapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/cert-manager/cert-manager/pkg/controller/cainjector"
	"github.com/cert-manager/cert-manager/pkg/logs"
	"github.com/cert-manager/cert-manager/pkg/util"
	"github.com/spf13/pflag"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// runInjector runs the CA injector, which writes CAs into webhook configurations, while this
// replica is the leader. It returns when ctx ends or the lease is lost.
func runInjector(ctx context.Context, args []string) error {
	var how election
	flags := pflag.NewFlagSet("cainjector", pflag.ContinueOnError)
	how.addFlags(flags)
	kubeconfig := flags.String("kubeconfig", "",
		"how to reach the API server from outside the cluster")
	namespace := flags.String("namespace", "", "the only namespace to look at")
	address := flags.String("metrics-listen-address", "0.0.0.0:9402", "where /metrics is")
	if err := parse(flags, args); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return fmt.Errorf("find API server: %w", err)
	}
	types := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		scheme.AddToScheme, certmanagerapi.AddToScheme, apiextensions.AddToScheme,
		apiregistration.AddToScheme,
	} {
		if err = add(types); err != nil {
			return fmt.Errorf("make scheme: %w", err)
		}
	}
	options := ctrl.Options{
		Scheme: types, Logger: logs.Log,
		LeaderElection: how.wanted, LeaderElectionNamespace: how.namespace,
		LeaderElectionID: "cert-manager-cainjector-leader-election",
		LeaseDuration:    &how.lease, RenewDeadline: &how.renew, RetryPeriod: &how.interval,
		LeaderElectionReleaseOnCancel: true,

		Metrics: metrics.Options{BindAddress: *address},
	}
	if *namespace != "" {
		options.Cache.DefaultNamespaces = map[string]cache.Config{*namespace: {}}
	}
	// Without a user agent its own server-side apply has no field manager.
	manager, err := ctrl.NewManager(util.RestConfigWithUserAgent(config, "cainjector"), options)
	if err != nil {
		return fmt.Errorf("make CA injector: %w", err)
	}
	err = cainjector.RegisterAllInjectors(ctx, manager, cainjector.SetupOptions{
		Namespace: *namespace, EnableCertificatesDataSource: true,
		EnabledReconcilersFor: map[string]bool{
			cainjector.MutatingWebhookConfigurationName:   true,
			cainjector.ValidatingWebhookConfigurationName: true,
			cainjector.APIServiceName:                     true,
			cainjector.CustomResourceDefinitionName:       true,
		},
	})
	if err != nil {
		return fmt.Errorf("register CA injectors: %w", err)
	}
	return manager.Start(ctx)
}
