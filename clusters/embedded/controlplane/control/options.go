package control

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	apiserveroptions "k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	manageroptions "k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	scheduleroptions "k8s.io/kubernetes/cmd/kube-scheduler/app/options"
)

// controllers names those a rotation scenario can notice; the rest (volumes, nodes' addresses,
// autoscaling, certificate signing) have nothing to do here.
func controllers() string {
	return strings.Join([]string{
		"deployment-controller", "replicaset-controller", "statefulset-controller",
		"daemonset-controller", "job-controller", "cronjob-controller",
		"ttl-after-finished-controller", "serviceaccount-controller",
		"serviceaccount-token-controller", "root-ca-certificate-publisher-controller",
		"namespace-controller", "garbage-collector-controller", "pod-garbage-collector-controller",
		"endpoints-controller", "endpointslice-controller", "node-lifecycle-controller",
		"taint-eviction-controller", "disruption-controller",
		"clusterrole-aggregation-controller",
	}, ",")
}

// options are the parsed flags of the three Kubernetes components.
type options struct {
	server   *apiserveroptions.ServerRunOptions
	manager  *manageroptions.KubeControllerManagerOptions
	schedule *scheduleroptions.Options
}

// parseOptions parses all flags first and then applies the feature gates once: the components
// share one registry of them, which must not change after the first reader.
func parseOptions(config Config, etcd string) (*options, error) {
	o := &options{server: apiserveroptions.NewServerRunOptions()}
	server := o.server.Flags()
	if err := parse(server.FlagSets, apiserverFlags(config, etcd)); err != nil {
		return nil, fmt.Errorf("kube-apiserver flags: %w", err)
	}
	var err error
	if o.manager, err = manageroptions.NewKubeControllerManagerOptions(); err != nil {
		return nil, fmt.Errorf("kube-controller-manager options: %w", err)
	}
	flags := o.manager.Flags(manager.KnownControllers(), manager.ControllersDisabledByDefault(),
		manager.ControllerAliases())
	o.manager.ParsedFlags = &flags
	if err := parse(flags.FlagSets, managerFlags(config)); err != nil {
		return nil, fmt.Errorf("kube-controller-manager flags: %w", err)
	}
	o.schedule = scheduleroptions.NewOptions()
	if err := parse(o.schedule.Flags.FlagSets, schedulerFlags(config)); err != nil {
		return nil, fmt.Errorf("kube-scheduler flags: %w", err)
	}
	if err := o.server.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return nil, fmt.Errorf("set feature gates: %w", err)
	}
	return o, nil
}

func apiserverFlags(config Config, etcd string) []string {
	return []string{
		"--etcd-servers=" + etcd,
		"--bind-address=" + config.Address.Addr().String(),
		"--advertise-address=" + config.Address.Addr().String(),
		"--secure-port=" + strconv.Itoa(int(config.Address.Port())),
		"--tls-cert-file=" + config.file("apiserver.crt"),
		"--tls-private-key-file=" + config.file("apiserver.key"),
		"--client-ca-file=" + config.file("ca.crt"),
		"--kubelet-client-certificate=" + config.file("kubelet-client.crt"),
		"--kubelet-client-key=" + config.file("kubelet-client.key"),
		"--kubelet-certificate-authority=" + config.file("ca.crt"),
		"--kubelet-preferred-address-types=InternalIP",
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + config.file("sa.pub"),
		"--service-account-signing-key-file=" + config.file("sa.key"),
		"--service-cluster-ip-range=" + config.Services,
		"--endpoint-reconciler-type=none", // settle writes the one endpoint by itself
		"--allow-privileged=true",
		"--shutdown-delay-duration=0s",
	}
}

func managerFlags(config Config) []string {
	return []string{
		"--kubeconfig=" + config.file("kube-controller-manager.kubeconfig"),
		"--leader-elect=false", "--secure-port=0", "--use-service-account-credentials=true",
		"--controllers=" + controllers(),
		"--root-ca-file=" + config.file("ca.crt"),
		"--service-account-private-key-file=" + config.file("sa.key"),
	}
}

func schedulerFlags(config Config) []string {
	return []string{
		"--kubeconfig=" + config.file("kube-scheduler.kubeconfig"),
		"--leader-elect=false", "--secure-port=0",
	}
}

func (o *options) apiserver(ctx context.Context) error {
	completed, err := o.server.Complete(ctx)
	if err != nil {
		return fmt.Errorf("complete options: %w", err)
	}
	if problems := completed.Validate(); len(problems) > 0 {
		return fmt.Errorf("validate options: %w", errors.Join(problems...))
	}
	return apiserver.Run(ctx, completed)
}

func (o *options) controllers(ctx context.Context) error {
	config, err := o.manager.Config(ctx, manager.KnownControllers(),
		manager.ControllersDisabledByDefault(), manager.ControllerAliases())
	if err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	return manager.Run(ctx, config.Complete())
}

func (o *options) scheduling(ctx context.Context) error {
	config, instance, err := scheduler.Setup(ctx, o.schedule)
	if err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	return scheduler.Run(ctx, config, instance)
}

func parse(sets map[string]*pflag.FlagSet, args []string) error {
	all := pflag.NewFlagSet("component", pflag.ContinueOnError)
	for _, set := range sets {
		all.AddFlagSet(set)
	}
	return all.Parse(args)
}
