package rotator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	authorization "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/certquake/certquake/clusters/access"
	"github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/harness"
)

// Why an operator cannot begin. Wrong Options wrap harness.ErrSettings.
var (
	// ErrNotInstalled is of a cluster that does not know RotatingSecrets.
	ErrNotInstalled = errors.New("the cluster has no RotatingSecrets")
	// ErrForbidden is of an account that may not do everything that Rules says.
	ErrForbidden = errors.New("the account may not do what the operator does")
)

// askLimit bounds the time it takes to find out whether the operator can begin.
const askLimit = 15 * time.Second

// ownNamespace is the file that tells a pod its namespace.
const ownNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// complete fills in what is not said, and refuses what makes no sense.
func (o *Options) complete() error {
	if o.Poll == 0 {
		o.Poll = pollDefault
	}
	var problems []error
	if o.Poll < time.Second {
		problems = append(problems, errPoll)
	}
	if o.LeaseNamespace == "" && !o.NoLeaderElection {
		text, err := os.ReadFile(ownNamespace)
		if err != nil {
			problems = append(problems, errLease)
		}
		o.LeaseNamespace = strings.TrimSpace(string(text))
	}
	if o.LeaseNamespace != "" {
		problems = append(problems, checkNamespace(o.LeaseNamespace))
	}
	for _, namespace := range o.Namespaces {
		problems = append(problems, checkNamespace(namespace))
	}
	return errors.Join(problems...)
}

// What is wrong with Options.
var (
	errPoll = fmt.Errorf("%w: the time between two looks at consumers must be 1s at least",
		harness.ErrSettings)
	errLease = fmt.Errorf("%w: outside a cluster, say which namespace has the Lease of the one "+
		"operator that works: --lease-namespace, or --no-leader-election if this is certainly "+
		"the only one", harness.ErrSettings)
)

// checkNamespace refuses names that no namespace has.
func checkNamespace(name string) error {
	if said := validation.IsDNS1123Label(name); len(said) > 0 {
		return fmt.Errorf("%w: no namespace can be called %q: %s",
			harness.ErrSettings, name, said[0])
	}
	return nil
}

// check finds out whether the operator can begin: later, watches would go on trying without a word
// about what is missing.
func (o *Options) check(ctx context.Context, config *rest.Config) error {
	config = rest.CopyConfig(config)
	config.QPS = -1 // a few dozen questions, once
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("reach the cluster: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	if err = installed(ctx, client, config.Host); err == nil {
		err = o.permitted(ctx, client)
	}
	if err != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		return context.Cause(ctx)
	}
	return err
}

// installed returns an error unless the API server serves RotatingSecrets.
func installed(ctx context.Context, client kubernetes.Interface, host string) error {
	var served meta.APIResourceList
	err := client.Discovery().RESTClient().Get().
		AbsPath("/apis/" + api.GroupVersion().String()).Do(ctx).Into(&served)
	switch {
	case err == nil && slices.ContainsFunc(served.APIResources, func(r meta.APIResource) bool {
		return r.Kind == api.Kind
	}):
		return nil
	case err == nil, apierrors.IsNotFound(err):
		return fmt.Errorf("%w of %s: install them by "+
			"`certquake rotator crd | kubectl apply -f -`", ErrNotInstalled, api.GroupVersion())
	}
	return access.Explain(err, "the API server at "+host)
}

// permitted returns an error that names everything the operator does and the account may not.
func (o *Options) permitted(ctx context.Context, client kubernetes.Interface) error {
	var all []authorization.ResourceAttributes
	if !o.NoLeaderElection {
		all = access.Requests(o.LeaseNamespace, LeaseRules())
	}
	for _, namespace := range o.Namespaces {
		all = append(all, access.Requests(namespace, Rules())...)
	}
	everywhere := ""
	if len(o.Namespaces) == 0 {
		all = append(all, access.Requests(meta.NamespaceAll, Rules())...)
		everywhere = ", in all namespaces unless one is named"
	}
	words, err := access.Denied(ctx, client, all)
	if apierrors.IsForbidden(err) {
		return nil // who may not ask may still be allowed everything
	}
	if err != nil || len(words) == 0 {
		return err
	}
	return fmt.Errorf("%w: %s%s; %s makes an account that may", ErrForbidden,
		strings.Join(words, ", "), everywhere, o.rbacCommand())
}

// rbacCommand returns the command that makes an account with what is needed.
func (o *Options) rbacCommand() string {
	namespace := o.LeaseNamespace
	if namespace == "" {
		namespace = "NAMESPACE"
	}
	words := []string{"`certquake rotator rbac --namespace", namespace}
	for _, watched := range o.Namespaces {
		words = append(words, "--watch", watched)
	}
	return strings.Join(append(words, "| kubectl apply -f -`"), " ")
}
