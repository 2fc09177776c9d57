package certmanager

import (
	"context"
	"fmt"

	"github.com/cert-manager/cert-manager/pkg/client/clientset/versioned"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// probe passes admission as the creation of a Certificate. It is applied: the API server lets
// requests to create wait for two seconds where their definition is younger than that.
const probe = `{"apiVersion":"cert-manager.io/v1","kind":"Certificate",
	"metadata":{"name":"readiness"},
	"spec":{"secretName":"readiness","commonName":"readiness","issuerRef":{"name":"none"}}}`

// WaitReady blocks until a Certificate passes admission: the CRDs are served, the webhook
// answers, and the CA injector has told the API server whom to trust. Nothing is created.
func WaitReady(ctx context.Context, config *rest.Config) error {
	client, err := versioned.NewForConfig(config)
	if err != nil {
		return err
	}
	options := meta.PatchOptions{DryRun: []string{meta.DryRunAll}, FieldManager: "readiness"}
	err = poll(ctx, func(ctx context.Context) error {
		_, refused := client.CertmanagerV1().Certificates(Namespace).
			Patch(ctx, "readiness", types.ApplyPatchType, []byte(probe), options)
		return refused
	})
	if err != nil {
		return fmt.Errorf("wait for cert-manager: %w", err)
	}
	return nil
}
