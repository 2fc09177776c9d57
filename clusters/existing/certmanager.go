package existing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/certquake/certquake/clusters"
)

// unknown is a version that cannot be told.
const unknown = "of unknown version"

const (
	// webhookLimit bounds the wait for cert-manager's webhook.
	webhookLimit = 20 * time.Second
	// webhookEvery is the time between two attempts to get an answer of it.
	webhookEvery = time.Second
)

// ask gets a document of the API server.
func (c *cluster) ask(ctx context.Context, path string, answer any) error {
	data, err := c.client.Discovery().RESTClient().Get().AbsPath(path).DoRaw(ctx)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, answer)
}

// findCertManager sees that the API server knows cert-manager's kinds, and which version's.
func (c *cluster) findCertManager(ctx context.Context) error {
	var kinds meta.APIResourceList
	err := c.ask(ctx, "/apis/"+certmanager.SchemeGroupVersion.String(), &kinds)
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%w: there is no cert-manager in the cluster: install it, for instance "+
			"by `helm install cert-manager oci://quay.io/jetstack/charts/cert-manager "+
			"--namespace cert-manager --create-namespace --set crds.enabled=true`",
			clusters.ErrBroken)
	case err != nil:
		return fmt.Errorf("%w: look for cert-manager: %w", clusters.ErrBroken, err)
	}
	c.versions["cert-manager"] = unknown
	definitions := schema.GroupVersionResource{
		Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
	}
	object, err := c.dynamic.Resource(definitions).Get(ctx, certificateCRD, meta.GetOptions{})
	if err == nil && object.GetLabels()["app.kubernetes.io/version"] != "" {
		c.versions["cert-manager"] = object.GetLabels()["app.kubernetes.io/version"]
	}
	return nil // an account that may not look can still use it
}

// tryWebhook sees that cert-manager's webhook lets objects in, by one that is never stored.
func (c *cluster) tryWebhook(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, webhookLimit)
	defer cancel()
	issuer := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": certmanager.SchemeGroupVersion.String(), "kind": certmanager.IssuerKind,
		"metadata": map[string]any{"generateName": "certquake-probe-"},
		"spec":     map[string]any{"selfSigned": map[string]any{}},
	}}
	issuers := c.dynamic.Resource(certmanager.SchemeGroupVersion.WithResource("issuers")).
		Namespace(c.namespaces[0])
	for {
		_, err := issuers.Create(ctx, issuer, meta.CreateOptions{DryRun: []string{meta.DryRunAll}})
		if err == nil {
			return nil
		}
		pause := time.NewTimer(webhookEvery)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			if errors.Is(context.Cause(ctx), context.Canceled) {
				return context.Cause(ctx)
			}
			return fmt.Errorf("%w: cert-manager's webhook admits no Issuer to namespace %s: %w; "+
				"see that cert-manager's pods are ready", clusters.ErrBroken, c.namespaces[0], err)
		}
	}
}
