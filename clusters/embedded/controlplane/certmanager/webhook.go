package certmanager

import (
	"context"
	"fmt"
	"strconv"

	webhook "github.com/cert-manager/cert-manager/cmd/certquake-webhook"
	admission "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

// webhookName names the configurations as upstream's chart does.
const webhookName = "cert-manager-webhook"

// RunWebhook registers the admission webhook at localhost:port and serves it until ctx ends.
// It blocks. The API server must run in the same network namespace.
func RunWebhook(ctx context.Context, kubeconfig string, port int) error {
	config, err := connect(ctx, kubeconfig)
	if err != nil {
		return err
	}
	if err := register(ctx, config, port); err != nil {
		return err
	}
	return webhook.Run(ctx, klog.Background(), []string{
		"--kubeconfig=" + kubeconfig,
		"--secure-port=" + strconv.Itoa(port),
		"--healthz-port=" + strconv.Itoa(port+1),
		"--metrics-listen-address=0",
		"--dynamic-serving-ca-secret-namespace=" + Namespace,
		"--dynamic-serving-ca-secret-name=" + webhookName + "-ca",
		"--dynamic-serving-dns-names=localhost",
	})
}

func register(ctx context.Context, config *rest.Config, port int) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	object := meta.ObjectMeta{
		Name: webhookName,
		Annotations: map[string]string{
			"cert-manager.io/inject-ca-from-secret": Namespace + "/" + webhookName + "-ca",
		},
	}
	_, err = client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(ctx,
		&admission.ValidatingWebhookConfiguration{
			ObjectMeta: object, Webhooks: []admission.ValidatingWebhook{validating(port)},
		}, meta.CreateOptions{})
	if ignore(err, apierrors.IsAlreadyExists) != nil {
		return fmt.Errorf("register validating webhook: %w", err)
	}
	_, err = client.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(ctx,
		&admission.MutatingWebhookConfiguration{
			ObjectMeta: object, Webhooks: []admission.MutatingWebhook{mutating(port)},
		}, meta.CreateOptions{})
	if ignore(err, apierrors.IsAlreadyExists) != nil {
		return fmt.Errorf("register mutating webhook: %w", err)
	}
	return nil
}

func validating(port int) admission.ValidatingWebhook {
	fail, none, match := admission.Fail, admission.SideEffectClassNone, admission.Equivalent
	timeout := int32(30)
	return admission.ValidatingWebhook{
		Name: "webhook.cert-manager.io",
		Rules: []admission.RuleWithOperations{{
			Operations: []admission.OperationType{admission.Create, admission.Update},
			Rule: admission.Rule{
				APIGroups:   []string{"cert-manager.io", "acme.cert-manager.io"},
				APIVersions: []string{"v1"}, Resources: []string{"*/*"},
			},
		}},
		ClientConfig:            at(port, "/validate"),
		AdmissionReviewVersions: []string{"v1"},
		FailurePolicy:           &fail, SideEffects: &none, MatchPolicy: &match,
		TimeoutSeconds: &timeout,
	}
}

func mutating(port int) admission.MutatingWebhook {
	fail, none, match := admission.Fail, admission.SideEffectClassNone, admission.Equivalent
	timeout := int32(30)
	return admission.MutatingWebhook{
		Name: "webhook.cert-manager.io",
		Rules: []admission.RuleWithOperations{{
			Operations: []admission.OperationType{admission.Create},
			Rule: admission.Rule{
				APIGroups:   []string{"cert-manager.io"},
				APIVersions: []string{"v1"}, Resources: []string{"certificaterequests"},
			},
		}},
		ClientConfig:            at(port, "/mutate"),
		AdmissionReviewVersions: []string{"v1"},
		FailurePolicy:           &fail, SideEffects: &none, MatchPolicy: &match,
		TimeoutSeconds: &timeout,
	}
}

func at(port int, path string) admission.WebhookClientConfig {
	address := "https://localhost:" + strconv.Itoa(port) + path
	return admission.WebhookClientConfig{URL: &address}
}
