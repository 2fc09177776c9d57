package certmanager

import (
	"context"
	"fmt"

	certmanagerapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/cert-manager/cert-manager/pkg/client/clientset/versioned"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// WaitReady blocks until a Certificate passes admission: the CRDs are served, the webhook
// answers, and the CA injector has told the API server whom to trust. Nothing is created.
func WaitReady(ctx context.Context, config *rest.Config) error {
	client, err := versioned.NewForConfig(config)
	if err != nil {
		return err
	}
	probe := &certmanagerapi.Certificate{
		ObjectMeta: meta.ObjectMeta{Name: "readiness", Namespace: Namespace},
		Spec: certmanagerapi.CertificateSpec{
			SecretName: "readiness", CommonName: "readiness",
			IssuerRef: cmmeta.IssuerReference{Name: "none"},
		},
	}
	err = poll(ctx, func(ctx context.Context) error {
		_, err := client.CertmanagerV1().Certificates(Namespace).
			Create(ctx, probe, meta.CreateOptions{DryRun: []string{meta.DryRunAll}})
		return err
	})
	if err != nil {
		return fmt.Errorf("wait for cert-manager: %w", err)
	}
	return nil
}
