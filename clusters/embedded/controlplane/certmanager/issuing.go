package certmanager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cert-manager/cert-manager/pkg/client/clientset/versioned"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
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
	nudged := time.Now()
	err = poll(ctx, func(ctx context.Context) error {
		_, refused := client.CertmanagerV1().Certificates(Namespace).
			Patch(ctx, "readiness", types.ApplyPatchType, []byte(probe), options)
		if refused != nil && time.Since(nudged) > nudgeWait {
			nudged = time.Now()
			refused = errors.Join(refused, nudge(ctx, config))
		}
		return refused
	})
	if err != nil {
		return fmt.Errorf("wait for cert-manager: %w", err)
	}
	return nil
}

// nudgeWait is after how long the CA injector is had to look again.
const nudgeWait = 10 * time.Second

// nudge has the CA injector look at the webhook's configurations again. It is told of the CA's
// Secret by one cache and reads it from another, which may be behind: then it finds none, and there
// is no later event.
func nudge(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"certquake.dev/nudged":%q}}}`,
		time.Now().UTC().Format(time.RFC3339))
	_, first := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().
		Patch(ctx, webhookName, types.MergePatchType, patch, meta.PatchOptions{})
	_, second := client.AdmissionregistrationV1().MutatingWebhookConfigurations().
		Patch(ctx, webhookName, types.MergePatchType, patch, meta.PatchOptions{})
	return errors.Join(first, second)
}
