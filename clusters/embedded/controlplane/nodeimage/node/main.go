// Node is everything Kubernetes that a node image needs, as one program under many names: linked
// once, it is one layer of every image, and each name in /usr/local/bin is a link to it. It does
// what the name it is called by does; package build makes the links.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	_ "time/tzdata" // CronJobs may name a time zone, and the images have no such files

	"github.com/coredns/coredns/coremain"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // as in upstream's programs
	_ "k8s.io/component-base/metrics/prometheus/version"  // as in upstream's programs
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlerrors "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubeadm "k8s.io/kubernetes/cmd/kubeadm/app"
	kubeadmerrors "k8s.io/kubernetes/cmd/kubeadm/app/util/errors"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	name := filepath.Base(os.Args[0])
	if name != "coredns" {
		flag.CommandLine = withoutVersion(flag.CommandLine)
	}
	switch name {
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(controllers.NewControllerManagerCommand()))
	case "kube-scheduler":
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	case "kube-proxy":
		os.Exit(cli.Run(proxy.NewProxyCommand()))
	case "kubelet":
		os.Exit(cli.Run(kubelet.NewKubeletCommand(context.Background())))
	case "kubeadm":
		kubeadmerrors.HandleError(kubeadm.Run())
	case "kubectl":
		if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
			kubectlerrors.CheckErr(err)
		}
	case "etcd":
		etcdmain.Main(os.Args)
	case "coredns":
		coremain.Run()
	default:
		fmt.Fprintf(os.Stderr, "node: no program %q: call it by the name of one, by a link\n", name)
		os.Exit(2)
	}
}

// withoutVersion leaves out a flag that CoreDNS's packages register for the whole program by
// being imported, and that kube-proxy would find instead of its own. The others must stay: the
// kubelet looks for some that its own packages register in the same way.
func withoutVersion(all *flag.FlagSet) *flag.FlagSet {
	kept := flag.NewFlagSet(all.Name(), flag.ExitOnError)
	all.VisitAll(func(one *flag.Flag) {
		if one.Name != "version" {
			kept.Var(one.Value, one.Name, one.Usage)
		}
	})
	return kept
}
