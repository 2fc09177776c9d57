//go:build embedded

package e2e

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/cert-manager/cert-manager/pkg/client/clientset/versioned"
	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// client does to the cluster what a scenario would. Its failures end the test.
type client struct {
	t       *testing.T
	kube    *kubernetes.Clientset
	streams *kubernetes.Clientset // without a limit of time
	certs   *versioned.Clientset
	dynamic *dynamic.DynamicClient
}

func connect(t *testing.T, kubeconfig string) *client {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	require.NoError(t, err)
	config.QPS = -1
	streams := kubernetes.NewForConfigOrDie(config)
	config.Timeout = 20 * time.Second
	return &client{
		t: t, kube: kubernetes.NewForConfigOrDie(config), streams: streams,
		certs: versioned.NewForConfigOrDie(config), dynamic: dynamic.NewForConfigOrDie(config),
	}
}

func manifests(t *testing.T) []byte {
	t.Helper()
	for _, path := range []string{
		"../../../../scenarios/library/akka-pki.yaml", os.Getenv("CERTQUAKE_MANIFESTS"),
	} {
		if text, err := os.ReadFile(path); err == nil {
			return text
		}
	}
	require.Fail(t, "akka-pki.yaml not found: name it in CERTQUAKE_MANIFESTS")
	return nil
}

// apply creates every object of a YAML stream.
func (c *client) apply(text []byte) {
	c.t.Helper()
	groups, err := restmapper.GetAPIGroupResources(c.kube.Discovery())
	require.NoError(c.t, err)
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		var object unstructured.Unstructured
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(c.t, err)
		kind := object.GroupVersionKind()
		mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		require.NoError(c.t, err)
		_, err = c.dynamic.Resource(mapping.Resource).Namespace(object.GetNamespace()).
			Create(c.t.Context(), &object, meta.CreateOptions{})
		require.NoError(c.t, err)
	}
}

func (c *client) secret(name string) []byte {
	secret, err := c.kube.CoreV1().Secrets("default").
		Get(c.t.Context(), name, meta.GetOptions{})
	if err != nil {
		return nil
	}
	return secret.Data[core.TLSCertKey]
}

func (c *client) issued(name string) {
	c.t.Helper()
	require.Eventually(c.t, func() bool { return len(c.secret(name)) > 0 },
		time.Minute, 20*time.Millisecond)
}

// requestIssue is what `cmctl renew` does.
func (c *client) requestIssue(name string) {
	c.t.Helper()
	certificates := c.certs.CertmanagerV1().Certificates("default")
	require.Eventually(c.t, func() bool {
		cert, err := certificates.Get(c.t.Context(), name, meta.GetOptions{})
		if err != nil {
			return false
		}
		now := meta.Now()
		cert.Status.Conditions = append(cert.Status.Conditions,
			certmanager.CertificateCondition{
				Type: certmanager.CertificateConditionIssuing, Status: cmmeta.ConditionTrue,
				Reason: "ManuallyTriggered", Message: "test", LastTransitionTime: &now,
			})
		_, err = certificates.UpdateStatus(c.t.Context(), cert, meta.UpdateOptions{})
		return err == nil
	}, 10*time.Second, 20*time.Millisecond)
}

// renew returns when the Secret changed and the digest of its new certificate.
func (c *client) renew(name string) (time.Time, string) {
	c.t.Helper()
	before := string(c.secret(name))
	began := time.Now()
	c.requestIssue(name)
	var now []byte
	require.Eventually(c.t, func() bool {
		now = c.secret(name)
		return len(now) > 0 && string(now) != before
	}, time.Minute, 2*time.Millisecond)
	changed := time.Now()
	c.t.Logf("renewed in %s", changed.Sub(began).Round(time.Millisecond))
	return changed, digest(now)
}

// dryRun asks whether a Certificate would be admitted.
func (c *client) dryRun() error {
	_, err := c.certs.CertmanagerV1().Certificates("default").Create(c.t.Context(),
		&certmanager.Certificate{
			ObjectMeta: meta.ObjectMeta{Name: "dry"},
			Spec: certmanager.CertificateSpec{
				SecretName: "dry", CommonName: "dry",
				IssuerRef: cmmeta.IssuerReference{Name: "akka-tls-ca-issuer"},
			},
		}, meta.CreateOptions{DryRun: []string{meta.DryRunAll}})
	return err
}

func (c *client) alive() error {
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Second)
	defer cancel()
	return c.kube.Discovery().RESTClient().Get().AbsPath("/readyz").MaxRetries(0).Do(ctx).Error()
}
