package existing

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/access"
	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

const (
	// defaultNamespace is where a run is unless told otherwise.
	defaultNamespace = "certquake"
	// anyImage stands for the image in what is rendered without one.
	anyImage = "certquake/workload"
)

// settings are what the flags say.
type settings struct {
	kubeconfig, context string
	namespace           string
	image               string
	clusterScoped       bool
	partial             bool
}

func (s *settings) add(flags *pflag.FlagSet) {
	flags.StringVar(&s.kubeconfig, "kubeconfig", "",
		"`FILE` that says how to reach the cluster (default as kubectl has it)")
	flags.StringVar(&s.context, "context", "", "`NAME` of the kubeconfig's context to use")
	flags.StringVar(&s.namespace, "namespace", defaultNamespace,
		"`NAME` of the run's own namespace; of several planned ones, what theirs begin with")
	flags.StringVar(&s.image, "workload-image", "",
		"`REF` of the workload's image, which the cluster has or can pull")
	flags.BoolVar(&s.clusterScoped, "allow-cluster-scoped", false,
		"create the scenario's ClusterIssuers and the definition of RotatingSecrets, too")
	flags.BoolVar(&s.partial, "allow-partial", false,
		"leave out what the cluster cannot do; such a run is inconclusive at best")
}

// account says how to reach the cluster.
func (s settings) account() access.Kubeconfig {
	return access.Kubeconfig{File: s.kubeconfig, Context: s.context}
}

// wrong returns an error of the settings.
func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %w", harness.ErrSettings, fmt.Errorf(format, args...))
}

// place returns the namespace that stands for each planned one.
func (s settings) place(plan scenarios.Plan) func(planned string) string {
	if len(kube.Namespaces(plan)) < 2 {
		return func(string) string { return s.namespace }
	}
	return func(planned string) string { return s.namespace + "-" + planned }
}

// places returns the namespaces of a run in the cluster, in alphabetical order.
func (s settings) places(plan scenarios.Plan) []string {
	place := s.place(plan)
	var names []string
	for _, planned := range kube.Namespaces(plan) {
		names = append(names, place(planned))
	}
	slices.Sort(names)
	return names
}

// sketch returns the Target as far as it follows from the settings.
func (s settings) sketch(plan scenarios.Plan) clusters.Target {
	target := clusters.Target{
		Image: s.image, Shared: true, Namespace: s.place(plan), Spread: true,
	}
	if target.Image == "" {
		target.Image = anyImage
	}
	return target
}

// check returns what is wrong with the settings, and what of a plan they do not allow, joined.
func (s settings) check(plan scenarios.Plan) error {
	var problems []error
	if _, err := s.account().Config(); err != nil {
		problems = append(problems, err)
	}
	if s.image == "" {
		problems = append(problems, wrong("--workload-image is missing: make the image of the "+
			"workload by `certquake image`, push it to where the cluster can pull it or load it "+
			"into its nodes, and name it"))
	}
	for _, name := range s.places(plan) {
		problems = append(problems, checkNamespace(name))
	}
	problems = append(problems, s.checkIssuers(plan))
	return errors.Join(problems...)
}

// checkNamespace refuses names that no namespace has, and namespaces of Kubernetes' own.
func checkNamespace(name string) error {
	if said := validation.IsDNS1123Label(name); len(said) > 0 {
		return wrong("--namespace: no namespace can be called %q: %s", name, said[0])
	}
	if strings.HasPrefix(name, "kube-") || name == scenarios.ClusterResourceNamespace {
		return wrong("--namespace: %s is not for runs: choose one of the run's own", name)
	}
	return nil
}

// checkIssuers refuses ClusterIssuers: all of them unless they are allowed, and in any case those
// with a CA, whose Secret would have to be put into cert-manager's own namespace. None is turned
// into an Issuer instead, since manifests are applied as they are given.
func (s settings) checkIssuers(plan scenarios.Plan) error {
	var problems []error
	for i := range plan.World.ClusterIssuers {
		issuer := &plan.World.ClusterIssuers[i]
		switch {
		case issuer.Spec.CA != nil:
			problems = append(problems, fmt.Errorf("%w: the Secret of ClusterIssuer %s would have "+
				"to be in cert-manager's own namespace: make it an Issuer, or use another backend",
				harness.ErrUnsupported, issuer.Name))
		case !s.clusterScoped:
			problems = append(problems, fmt.Errorf("%w: ClusterIssuer %s has no namespace, and "+
				"the whole cluster could use it during the run: say --allow-cluster-scoped, or "+
				"make it an Issuer", harness.ErrUnsupported, issuer.Name))
		}
	}
	return errors.Join(problems...)
}
