package main

import (
	"time"

	"github.com/cert-manager/cert-manager/pkg/controller"
	"github.com/spf13/pflag"
)

// election is how parts agree on which of their replicas works. Names and defaults of the flags
// are upstream's.
type election struct {
	wanted                 bool
	namespace              string
	lease, renew, interval time.Duration
}

func (e *election) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&e.wanted, "leader-elect", true,
		"work only while holding the lease")
	flags.StringVar(&e.namespace, "leader-election-namespace", "kube-system",
		"namespace of the lease")
	flags.DurationVar(&e.lease, "leader-election-lease-duration", time.Minute,
		"how long others wait for a leader that is silent")
	flags.DurationVar(&e.renew, "leader-election-renew-deadline", 40*time.Second,
		"how long a leader tries to renew before it gives up")
	flags.DurationVar(&e.interval, "leader-election-retry-period", 15*time.Second,
		"how long to wait between tries")
}

// controllerFlags are those of the controller that its chart can pass, and --kubeconfig.
type controllerFlags struct {
	election
	options         controller.ContextOptions
	selection       []string
	health, metrics string
}

func (f *controllerFlags) addFlags(flags *pflag.FlagSet) {
	f.election.addFlags(flags)
	o := &f.options
	o.KubernetesAPIQPS, o.KubernetesAPIBurst = 20, 50
	flags.StringVar(&o.Kubeconfig, "kubeconfig", "",
		"how to reach the API server from outside the cluster")
	flags.StringVar(&o.Namespace, "namespace", "", "the only namespace to look at")
	flags.StringVar(&o.ClusterResourceNamespace, "cluster-resource-namespace", "kube-system",
		"namespace of the Secrets of ClusterIssuers")
	flags.BoolVar(&o.EnableOwnerRef, "enable-certificate-owner-ref", false,
		"delete Secrets with their Certificate")
	flags.StringSliceVar(&o.CopiedAnnotationPrefixes, "copied-annotation-prefixes",
		[]string{"*", "-kubectl.kubernetes.io/", "-fluxcd.io/", "-argocd.argoproj.io/"},
		"annotations of a Certificate that its requests get, too")
	flags.DurationVar(&o.CertificateRequestMinimumBackoffDuration,
		"certificate-request-minimum-backoff-duration", time.Hour,
		"how long to wait after a failed request")
	flags.DurationVar(&o.CertificateRequestMaximumBackoffDuration,
		"certificate-request-maximum-backoff-duration", 32*time.Hour,
		"how long to wait after many failed requests")
	flags.IntVar(&o.MaxConcurrentChallenges, "max-concurrent-challenges", 60,
		"accepted, and of no effect: there is no ACME here")
	flags.StringVar(&o.HTTP01SolverImage, "acme-http01-solver-image", "",
		"accepted, and of no effect: there is no ACME here")
	flags.StringSliceVar(&f.selection, "controllers", []string{"*"},
		"controllers not to run, each with a - before its name")
	flags.StringVar(&f.health, "healthz-listen-address", "0.0.0.0:9403", "where /livez is")
	flags.StringVar(&f.metrics, "metrics-listen-address", "0.0.0.0:9402", "where /metrics is")
}
