package kubelet

import (
	"fmt"
	"path/filepath"
	"time"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	feature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
)

// Port is where every kubelet serves on its own address.
const Port = 10250

// serverOptions renders the configuration: upstream's defaults, minus all that needs cgroups
// or belongs to a machine of its own.
func serverOptions(config Config) (*options.KubeletServer, error) {
	flags := options.NewKubeletFlags()
	flags.RootDirectory = config.Root
	flags.CertDirectory = filepath.Join(config.Root, "pki")
	flags.HostnameOverride = config.Name
	flags.NodeIP = config.Address
	flags.NodeLabels = map[string]string{"kubernetes.io/hostname": config.Name}
	flags.MinimumGCAge = meta.Duration{Duration: time.Minute}
	flags.MaxPerPodContainerCount = 2
	flags.MaxContainerCount = 200
	settings, err := options.NewKubeletConfiguration()
	if err != nil {
		return nil, fmt.Errorf("default configuration: %w", err)
	}
	serving(config, settings)
	withoutCgroups(settings)
	if err := syncing(config, settings); err != nil {
		return nil, err
	}
	server := &options.KubeletServer{KubeletFlags: *flags, KubeletConfiguration: *settings}
	if err := options.ValidateKubeletServer(server); err != nil {
		return nil, fmt.Errorf("validate configuration: %w", err)
	}
	return server, nil
}

func serving(config Config, settings *kubeletconfig.KubeletConfiguration) {
	settings.Address = config.Address
	settings.Port = Port
	settings.ReadOnlyPort = 0
	settings.HealthzPort = 0
	settings.TLSCertFile = config.Cert
	settings.TLSPrivateKeyFile = config.Key
	settings.Authentication.X509.ClientCAFile = config.CA
	settings.ContainerRuntimeEndpoint = "unix://" + config.Socket
	settings.PodLogsDir = config.Logs
	settings.ResolverConfig = ""
	settings.ClusterDomain = "cluster.local"
	settings.ClusterDNS = []string{config.DNS}
	// A log is evidence, and rotation loses lines for those who follow: let it grow.
	settings.ContainerLogMaxSize = "1Gi"
	settings.SerializeImagePulls = false
	settings.RegistryPullQPS = 0
}

func withoutCgroups(settings *kubeletconfig.KubeletConfiguration) {
	settings.CgroupsPerQOS = false
	settings.EnforceNodeAllocatable = nil
	settings.CgroupRoot = ""
	settings.FailCgroupV1 = false
	settings.LocalStorageCapacityIsolation = false
	settings.EvictionHard = nil
	settings.ImageGCHighThresholdPercent = 100
	settings.EnableControllerAttachDetach = false
	settings.MakeIPTablesUtilChains = false
	settings.MaxOpenFiles = 65536
}

func syncing(config Config, settings *kubeletconfig.KubeletConfiguration) error {
	settings.SyncFrequency.Duration = config.SyncFrequency
	strategies := map[string]kubeletconfig.ResourceChangeDetectionStrategy{
		"Watch": kubeletconfig.WatchChangeDetectionStrategy,
		"Cache": kubeletconfig.TTLCacheChangeDetectionStrategy,
		"Get":   kubeletconfig.GetChangeDetectionStrategy,
	}
	strategy, known := strategies[config.ChangeDetection]
	if !known {
		return fmt.Errorf("change detection %q is none of Watch, Cache, Get",
			config.ChangeDetection)
	}
	settings.ConfigMapAndSecretChangeDetectionStrategy = strategy
	if !config.UserNamespace {
		return nil
	}
	settings.FeatureGates = map[string]bool{"KubeletInUserNamespace": true}
	err := feature.DefaultMutableFeatureGate.SetFromMap(settings.FeatureGates)
	if err != nil {
		return fmt.Errorf("set feature gates: %w", err)
	}
	return nil
}
