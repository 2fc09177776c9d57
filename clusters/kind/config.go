package kind

import (
	"fmt"

	"sigs.k8s.io/kind/pkg/apis/config/defaults"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/certquake/certquake/scenarios"
)

// The versions of what is brought up; go.mod has the same.
const (
	kindVersion        = "v0.33.0"
	certManagerVersion = "v1.21.2"
)

// defaultNodeImage is the node image that this version of kind was made for.
const defaultNodeImage = defaults.Image

// controllersPatch leaves out the controller that tells kubelets how old cached objects may become:
// the planned nodes say so. The rest is what kubeadm runs. Neither the controllers nor the
// scheduler wait for the lease of those that were killed before them: there is never a second one.
const controllersPatch = `kind: ClusterConfiguration
controllerManager:
  extraArgs:
    controllers: "*,bootstrapsigner,tokencleaner,-ttl"
    leader-elect: "false"
scheduler:
  extraArgs:
    leader-elect: "false"
`

// cgroupPatch lets kubelets run on machines with the first version of cgroups, which Kubernetes
// otherwise refuses since 1.35.
const cgroupPatch = `kind: KubeletConfiguration
failCgroupV1: false
`

// configOf returns what kind is told to make: a control plane and a worker for each planned node.
// Kubelets get their settings later, since kubeadm gives all of them the same.
func configOf(name string, nodes []scenarios.PlannedNode, cgroups string) *v1alpha4.Cluster {
	config := &v1alpha4.Cluster{
		TypeMeta: v1alpha4.TypeMeta{
			APIVersion: "kind.x-k8s.io/v1alpha4", Kind: "Cluster",
		},
		Name:                 name,
		Nodes:                []v1alpha4.Node{{Role: v1alpha4.ControlPlaneRole}},
		KubeadmConfigPatches: []string{controllersPatch},
	}
	if cgroups == "1" {
		config.KubeadmConfigPatches = append(config.KubeadmConfigPatches, cgroupPatch)
	}
	for range nodes {
		config.Nodes = append(config.Nodes, v1alpha4.Node{Role: v1alpha4.WorkerRole})
	}
	v1alpha4.SetDefaultsCluster(config)
	return config
}

// workerName returns the name that kind gives the i-th worker of a cluster, which is the name of
// its container and of its Node.
func workerName(cluster string, i int) string {
	if i == 0 {
		return cluster + "-worker"
	}
	return fmt.Sprintf("%s-worker%d", cluster, i+1)
}

// controlName returns the name of a cluster's control plane.
func controlName(cluster string) string { return cluster + "-control-plane" }
