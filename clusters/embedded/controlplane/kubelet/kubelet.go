// Package kubelet runs one real kubelet in this process against our CRI server. Replaced are
// only the machine reader, the cgroup manager and the OOM adjuster: volumes, probes, syncing,
// status and the API are the kubelet's own. One process holds one kubelet: two would register
// the same metrics. Call [Run].
package kubelet

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	feature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	upstream "k8s.io/kubernetes/pkg/kubelet"
	"k8s.io/kubernetes/pkg/kubelet/cm"
	kubeletutil "k8s.io/kubernetes/pkg/kubelet/util"
	"k8s.io/kubernetes/pkg/util/oom"
)

// Config is what distinguishes one node from another.
type Config struct {
	Name            string
	Kubeconfig      string
	Cert, Key, CA   string // files of its server certificate and of the authority
	Root            string // volumes and pod state
	Logs            string // logs of pods
	Socket          string // of the CRI server
	Address         string
	DNS             string // address of the cluster's DNS server
	SyncFrequency   time.Duration
	ChangeDetection string // Watch, Cache or Get
	UserNamespace   bool
	// Patience is how long to wait for an API server that is starting at the same time. The
	// kubelet starts without one, too, but then backs off for seconds.
	Patience time.Duration
}

// Run runs the kubelet until ctx ends. It blocks.
func Run(ctx context.Context, config Config) error {
	server, err := serverOptions(config)
	if err != nil {
		return err
	}
	dependencies, err := app.UnsecuredDependencies(ctx, server, feature.DefaultFeatureGate)
	if err != nil {
		return fmt.Errorf("prepare dependencies: %w", err)
	}
	settings, err := connect(ctx, config, dependencies)
	if err != nil {
		return err
	}
	if err = authenticate(ctx, config, server, dependencies); err != nil {
		return err
	}
	dependencies.CAdvisorInterface = newMachine(config.Name)
	dependencies.ContainerManager = cm.NewStubContainerManager()
	dependencies.OOMAdjuster = oom.NewFakeOOMAdjuster()
	dependencies.PodStartupLatencyTracker = kubeletutil.NewPodStartupLatencyTracker()
	dependencies.NodeStartupLatencyTracker = kubeletutil.NewNodeStartupLatencyTracker()
	if config.UserNamespace {
		err = withoutIdentities(ctx, config.Name, settings, dependencies)
		if err != nil {
			return err
		}
	}
	err = upstream.PreInitRuntimeService(ctx, &server.KubeletConfiguration, dependencies)
	if err != nil {
		return fmt.Errorf("connect to CRI server: %w", err)
	}
	if err := app.RunKubelet(ctx, server, dependencies); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// connect gives the kubelet its three clients: for work, for heartbeats, and for events. It
// returns the settings of the first.
func connect(
	ctx context.Context, config Config, to *upstream.Dependencies,
) (*rest.Config, error) {
	work, err := clientcmd.BuildConfigFromFlags("", config.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	work.ContentType = "application/vnd.kubernetes.protobuf"
	work.QPS, work.Burst = 50, 100
	work.UserAgent = "kubelet/" + config.Name
	if to.KubeClient, err = kubernetes.NewForConfig(work); err != nil {
		return nil, err
	}
	heartbeat := rest.CopyConfig(work)
	heartbeat.QPS, heartbeat.Timeout = -1, 10*time.Second
	if to.HeartbeatClient, err = kubernetes.NewForConfig(heartbeat); err != nil {
		return nil, err
	}
	events, err := kubernetes.NewForConfig(work)
	if err != nil {
		return nil, err
	}
	to.EventClient = events.CoreV1()
	awaitAPI(ctx, to.HeartbeatClient, config)
	return work, nil
}

// awaitAPI returns when the API server answers, be it that it does not know the node, or when
// patience ends.
func awaitAPI(ctx context.Context, client kubernetes.Interface, config Config) {
	ctx, cancel := context.WithTimeout(ctx, config.Patience)
	defer cancel()
	for ctx.Err() == nil {
		_, err := client.CoreV1().Nodes().Get(ctx, config.Name, meta.GetOptions{})
		if err == nil || apierrors.IsNotFound(err) {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func authenticate(
	ctx context.Context, config Config, server *options.KubeletServer, to *upstream.Dependencies,
) error {
	auth, run, err := app.BuildAuth(
		types.NodeName(config.Name), to.KubeClient, server.KubeletConfiguration)
	if err != nil {
		return fmt.Errorf("prepare authentication: %w", err)
	}
	run(ctx.Done())
	to.Auth = auth
	return nil
}
