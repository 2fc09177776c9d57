package kind

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"

	"github.com/certquake/certquake/harness"
)

// The names of cert-manager's parts, in its chart and in its published manifest.
const (
	managerNamespace = "cert-manager"
	controllerName   = "cert-manager"
	injectorName     = "cert-manager-cainjector"
	webhookName      = "cert-manager-webhook"
)

// versionLabel tells the version of what a Deployment runs.
const versionLabel = "app.kubernetes.io/version"

// manager is cert-manager's objects, in the order in which they can be created.
type manager struct {
	version string
	source  string // chartWord, an address or a path
	objects []*unstructured.Unstructured
	uses    []string
}

// images lists the images that its Deployments run.
func (m *manager) images() []string { return m.uses }

// findManager gets cert-manager's manifest and fits it to clusters of this package. A cluster that
// is there has its cert-manager.
func (c *cluster) findManager(ctx context.Context) (*manager, error) {
	if c.home.known {
		return &manager{version: c.home.facts.CertManager}, nil
	}
	text, source, err := c.manifest(ctx)
	if err != nil {
		return nil, fmt.Errorf("get cert-manager: %w", err)
	}
	m, err := readManager(text)
	if err != nil {
		return nil, fmt.Errorf("cert-manager from %s: %w", source, err)
	}
	m.source = source
	if source == chartWord {
		source = "its chart"
	}
	harness.Say(ctx, "cert-manager %s comes from %s", m.version, source)
	return m, nil
}

// readManager reads a manifest of cert-manager.
func readManager(text []byte) (*manager, error) {
	m := &manager{version: "unknown"}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 1<<16)
	parts := map[string]bool{}
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read its manifest: %w", err)
		}
		if len(object.Object) == 0 {
			continue
		}
		if object.GetKind() == "Deployment" {
			if err := m.fit(object); err != nil {
				return nil, fmt.Errorf("fit its Deployment %s: %w", object.GetName(), err)
			}
			parts[object.GetName()] = true
		}
		m.objects = append(m.objects, object)
	}
	for _, name := range []string{controllerName, injectorName, webhookName} {
		if !parts[name] {
			return nil, fmt.Errorf("its manifest has no Deployment %s", name)
		}
	}
	slices.SortStableFunc(m.objects, func(a, b *unstructured.Unstructured) int {
		return cmp.Compare(rank(a), rank(b))
	})
	return m, nil
}

// rank orders objects by what needs which others.
func rank(object *unstructured.Unstructured) int {
	switch object.GetKind() {
	case "Namespace":
		return 0
	case "CustomResourceDefinition":
		return 1
	case "Deployment":
		return 3
	}
	return 2
}

// noElection keeps a program of cert-manager from waiting for the lease of the one that it
// replaces: there is never a second one.
const noElection = "--leader-elect=false"

// fit changes a Deployment of cert-manager's: it runs on the control plane, where no node that is
// stopped takes it away, it ends within a second when it is to, and it starts to work at once.
func (m *manager) fit(object *unstructured.Unstructured) error {
	var deployment appsv1.Deployment
	converter := runtime.DefaultUnstructuredConverter
	if err := converter.FromUnstructured(object.Object, &deployment); err != nil {
		return err
	}
	if deployment.Name == controllerName {
		m.version = cmp.Or(deployment.Labels[versionLabel], m.version)
	}
	deployment.Spec.Replicas = new(int32(1))
	pod := &deployment.Spec.Template.Spec
	pod.NodeSelector = map[string]string{"node-role.kubernetes.io/control-plane": ""}
	pod.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	pod.TerminationGracePeriodSeconds = new(int64(1))
	for i := range pod.Containers {
		container := &pod.Containers[i]
		m.uses = append(m.uses, container.Image)
		if deployment.Name != webhookName {
			container.Args = append(container.Args, noElection)
		}
		if probe := container.ReadinessProbe; probe != nil {
			probe.InitialDelaySeconds, probe.PeriodSeconds = 0, 1
		}
	}
	fields, err := converter.ToUnstructured(&deployment)
	if err != nil {
		return err
	}
	delete(fields, "status")
	object.Object = fields
	return nil
}

// The bounds of an installation.
const (
	createMax = time.Minute
	admitMax  = 5 * time.Minute // it may include the pull of images
	nudgeWait = 10 * time.Second
)

// install creates cert-manager's objects and waits until it admits a Certificate.
func (c *cluster) install(ctx context.Context, m *manager) error {
	begun := time.Now()
	client, err := dynamic.NewForConfig(c.config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	for _, object := range m.objects {
		if err = create(ctx, client, object); err != nil {
			return fmt.Errorf("create %s %s of cert-manager: %w", object.GetKind(),
				object.GetName(), err)
		}
	}
	nudged := time.Now()
	err = until(ctx, "wait for cert-manager to admit a Certificate", askEvery, admitMax,
		func(ctx context.Context) (bool, error) {
			problem := c.admits(ctx)
			if problem != nil && time.Since(nudged) > nudgeWait {
				nudged = time.Now()
				problem = errors.Join(problem, c.nudge(ctx))
			}
			return problem == nil, problem
		})
	if err != nil {
		return errors.Join(err, c.symptoms(ctx))
	}
	harness.Say(ctx, "cert-manager admits Certificates, %s after the API server answered",
		time.Since(begun).Round(time.Second))
	return nil
}

// create creates an object, whose kind tells the resource. One that is there already stays.
func create(
	ctx context.Context, client dynamic.Interface, object *unstructured.Unstructured,
) error {
	resource, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
	return until(ctx, "create it", kubeletEvery, createMax,
		func(ctx context.Context) (bool, error) {
			var err error
			if namespace := object.GetNamespace(); namespace != "" {
				_, err = client.Resource(resource).Namespace(namespace).Create(ctx, object,
					metav1.CreateOptions{})
			} else {
				_, err = client.Resource(resource).Create(ctx, object, metav1.CreateOptions{})
			}
			if apierrors.IsAlreadyExists(err) {
				return true, nil
			}
			return err == nil, err
		})
}

// nudge has cert-manager's cainjector look at its webhooks again. It is told of the CA's Secret by
// one cache and reads it from another, which may be behind: then it finds none, and there is no
// later event. A webhook without caBundle is never trusted, and every Certificate is refused.
func (c *cluster) nudge(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerMax)
	defer cancel()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"certquake.dev/nudged":%q}}}`,
		time.Now().UTC().Format(time.RFC3339))
	webhooks := c.client.AdmissionregistrationV1()
	_, first := webhooks.ValidatingWebhookConfigurations().Patch(ctx, webhookName,
		types.MergePatchType, patch, metav1.PatchOptions{})
	_, second := webhooks.MutatingWebhookConfigurations().Patch(ctx, webhookName,
		types.MergePatchType, patch, metav1.PatchOptions{})
	return errors.Join(first, second)
}

// trialCertificate is never created: the API server is asked whether it would be.
const trialCertificate = `{"apiVersion":"cert-manager.io/v1","kind":"Certificate",` +
	`"metadata":{"name":"certquake-trial"},"spec":{"secretName":"certquake-trial",` +
	`"dnsNames":["certquake.test"],"issuerRef":{"name":"certquake-trial"}}}`

// admits returns nil if the API server, and with it cert-manager's webhook, admits a Certificate.
func (c *cluster) admits(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerMax)
	defer cancel()
	answer, err := c.client.Discovery().RESTClient().Post().
		AbsPath("/apis/cert-manager.io/v1/namespaces/default/certificates").
		Param("dryRun", metav1.DryRunAll).SetHeader("Content-Type", "application/json").
		Body([]byte(trialCertificate)).DoRaw(ctx)
	var status metav1.Status
	if err != nil && json.Unmarshal(answer, &status) == nil && status.Message != "" {
		return fmt.Errorf("%s (%w)", status.Message, err) // the error itself does not tell
	}
	return err
}

// symptoms says what state cert-manager's pods are in.
func (c *cluster) symptoms(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerMax)
	defer cancel()
	pods, err := c.client.CoreV1().Pods(managerNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("look at cert-manager's pods: %w", err)
	}
	var problems []error
	for i := range pods.Items {
		pod := &pods.Items[i]
		problems = append(problems, fmt.Errorf("pod %s is %s", pod.Name, pod.Status.Phase))
		for _, status := range pod.Status.ContainerStatuses {
			if waiting := status.State.Waiting; waiting != nil {
				problems = append(problems, fmt.Errorf("its container waits: %s: %s",
					waiting.Reason, waiting.Message))
			}
		}
	}
	return errors.Join(problems...)
}
