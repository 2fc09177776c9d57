package certmanager

import (
	"context"
	"fmt"

	certmanagerapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/cert-manager/cert-manager/pkg/controller/cainjector"
	admission "k8s.io/api/admissionregistration/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// inject runs the CA injector, which writes the webhook's CA into its configurations.
func inject(ctx context.Context, config *rest.Config) error {
	types := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		scheme.AddToScheme, certmanagerapi.AddToScheme, apiextensions.AddToScheme,
		apiregistration.AddToScheme, admission.AddToScheme,
	} {
		if err := add(types); err != nil {
			return fmt.Errorf("make scheme: %w", err)
		}
	}
	own := rest.CopyConfig(config)
	own.UserAgent = "cert-manager-cainjector"
	manager, err := ctrl.NewManager(own, ctrl.Options{
		Scheme: types, Logger: klog.Background(), Metrics: metrics.Options{BindAddress: "0"},
	})
	if err != nil {
		return fmt.Errorf("make CA injector: %w", err)
	}
	err = cainjector.RegisterAllInjectors(ctx, manager, cainjector.SetupOptions{
		EnableCertificatesDataSource: true,
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
	if err := manager.Start(ctx); err != nil {
		return fmt.Errorf("CA injector: %w", err)
	}
	return nil
}
