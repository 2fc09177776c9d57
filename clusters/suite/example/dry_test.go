//go:build !e2e && !(linux && embedded)

package example_test

import (
	"sigs.k8s.io/e2e-framework/pkg/envconf"

	"github.com/certquake/certquake/clusters/kube"
)

// config has e2e-framework skip every step.
func config() *envconf.Config { return envconf.New().WithDryRunMode() }

// provider is not asked for a cluster.
func provider() kube.Provider { return kube.Provider{} }
