package cli

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
)

// Rotator is the operator that rotates secrets whose keys have ids. Errors that are of what was
// asked for wrap harness.ErrSettings.
type Rotator struct {
	// Run rotates until ctx ends, which is no error.
	Run func(ctx context.Context, o RotatorOptions) error
	// CRD returns the definition of RotatingSecrets as YAML.
	CRD func() []byte
	// RBAC returns the account of an operator in a namespace, and its roles for the namespaces it
	// watches, or for all, as YAML documents.
	RBAC func(namespace string, watch []string) ([]byte, error)
	// Manifest returns everything that an operator in a cluster needs, as YAML documents.
	Manifest func(i RotatorInstallation) ([]byte, error)
}

// RotatorOptions say how the operator runs.
type RotatorOptions struct {
	Kubeconfig, Context string   // "" in a pod is its own cluster, and else what kubectl uses
	Namespaces          []string // to look after; none means all
	LeaseNamespace      string   // "" in a pod is its own
	NoLeaderElection    bool
	MetricsAddress      string // "" is none
	HealthAddress       string
	Poll                time.Duration
	Log                 slog.Handler
}

// RotatorInstallation says which operator to install.
type RotatorInstallation struct {
	Namespace string
	Image     string
	Watch     []string
	Replicas  int
}

// errNoRotator is of a build without the operator.
var errNoRotator = errors.New("this build has no rotator")

// pollDefault is how often consumers are asked unless --poll says else.
const pollDefault = 15 * time.Second

func newRotator(env *Env) *cobra.Command {
	var o RotatorOptions
	var verbose bool
	cmd := &cobra.Command{
		Use:   "rotator",
		Short: "Run the operator that rotates RotatingSecrets in a cluster",
		Long: `Rotator looks after RotatingSecrets until Ctrl-C or SIGTERM, which end it with exit
code 0. It may be killed at any moment: the next one goes on where it was.
In a pod it uses the pod's own account, elsewhere a kubeconfig; --kubeconfig or --context
makes it use one in a pod, too. Of several operators one works and the others stand by.

To install it in a cluster, with an image of this program:

  certquake rotator manifest --namespace ops --image REF | kubectl apply -f -

Steps, halts and errors are lines on stderr; they are in events, in the status of each
RotatingSecret and in metrics, too. Metrics are at /metrics of one address, health is at
/healthz and /readyz of the other, all by plain HTTP.`,
		Example: `  certquake rotator --lease-namespace ops
  certquake rotator --no-leader-election --namespace shop --metrics-address 127.0.0.1:8080`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if env.Rotator == nil {
				return usage(errNoRotator, "")
			}
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			o.Log = slog.NewTextHandler(env.Stderr, &slog.HandlerOptions{Level: level})
			return failure(cmd.Context(), env.Rotator.Run(cmd.Context(), o))
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&o.Namespaces, "namespace", nil,
		"`NAME` of a namespace to look after; may be repeated (default all)")
	flags.StringVar(&o.LeaseNamespace, "lease-namespace", "",
		"`NAME` of the namespace of the Lease of the one that works (default the pod's own)")
	flags.BoolVar(&o.NoLeaderElection, "no-leader-election", false,
		"work without a Lease: this is certainly the only one")
	flags.StringVar(&o.MetricsAddress, "metrics-address", "",
		"`HOST:PORT` to serve metrics at (default none)")
	flags.StringVar(&o.HealthAddress, "health-address", "",
		"`HOST:PORT` to serve health at (default none)")
	flags.DurationVar(&o.Poll, "poll", pollDefault,
		"`TIME` between two looks at consumers during a rotation")
	flags.StringVar(&o.Kubeconfig, "kubeconfig", "",
		"`FILE` that says how to reach the cluster (default the pod's own, or as kubectl has it)")
	flags.StringVar(&o.Context, "context", "", "`NAME` of the kubeconfig's context to use")
	flags.BoolVarP(&verbose, "verbose", "v", false, "tell what the libraries do, too")
	cmd.AddCommand(newRotatorCRD(env), newRotatorRBAC(env), newRotatorManifest(env))
	return cmd
}

func newRotatorCRD(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "crd",
		Short: "Print the definition of RotatingSecrets",
		Long: `Crd prints the definition of RotatingSecrets as YAML, for whoever may install it:

  certquake rotator crd | kubectl apply -f -`,
		Example: "  certquake rotator crd\n  certquake rotator crd > crd.yaml",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			if env.Rotator == nil {
				return usage(errNoRotator, "")
			}
			return env.print(env.Rotator.CRD(), nil)
		},
	}
}

func newRotatorRBAC(env *Env) *cobra.Command {
	var namespace string
	var watch []string
	cmd := &cobra.Command{
		Use:   "rbac",
		Short: "Print the operator's account and what it may do",
		Long: `Rbac prints a service account and its roles as YAML: what the operator does, and no
more. With --watch it may do that in these namespaces only; without, in all of them.
Namespaces must be there when it is applied.`,
		Example: `  certquake rotator rbac --namespace ops
  certquake rotator rbac --namespace ops --watch shop --watch billing > rbac.yaml`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if env.Rotator == nil {
				return usage(errNoRotator, "")
			}
			return env.print(env.Rotator.RBAC(namespace, watch))
		},
	}
	addPlaces(cmd, &namespace, &watch)
	return cmd
}

func newRotatorManifest(env *Env) *cobra.Command {
	var i RotatorInstallation
	cmd := &cobra.Command{
		Use:   "manifest",
		Short: "Print everything that installs the operator in a cluster",
		Long: `Manifest prints a namespace, the definition of RotatingSecrets, an account, its roles
and a Deployment as YAML:

  certquake rotator manifest --namespace ops --image REF | kubectl apply -f -

The image is one of this program. A static build makes it without Docker:

  CGO_ENABLED=0 go build -o certquake .
  certquake image --program certquake --out rotator-image.tar
  skopeo copy oci-archive:rotator-image.tar docker://registry.example/certquake:TAG

Namespaces to watch must be there when it is applied. The way back is to delete the
RotatingSecrets first, while the operator still runs, and what is printed here then.`,
		Example: `  certquake rotator manifest --namespace ops --image registry.example/certquake:v1
  certquake rotator manifest --namespace ops --image certquake:v1 --watch shop > rotator.yaml`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if env.Rotator == nil {
				return usage(errNoRotator, "")
			}
			return env.print(env.Rotator.Manifest(i))
		},
	}
	addPlaces(cmd, &i.Namespace, &i.Watch)
	cmd.Flags().StringVar(&i.Image, "image", "",
		"`REF` of an image whose program is certquake, which the cluster has or can pull")
	cmd.Flags().IntVar(&i.Replicas, "replicas", 2,
		"`NUMBER` of operators, of which one works and the others stand by")
	return cmd
}

// addPlaces adds the flags that say where an operator is to run and what it is to look after.
func addPlaces(cmd *cobra.Command, namespace *string, watch *[]string) {
	cmd.Flags().StringVar(namespace, "namespace", "", "`NAME` of the operator's own namespace")
	cmd.Flags().StringArrayVar(watch, "watch", nil,
		"`NAME` of a namespace to look after; may be repeated (default all)")
}

// print prints what was made, unless it could not be.
func (env *Env) print(text []byte, err error) error {
	if err != nil {
		return err
	}
	_, err = env.Stdout.Write(text)
	return err
}
