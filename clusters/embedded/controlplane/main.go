// Controlplane is a real Kubernetes without containers, as one program: `controlplane run`
// starts a cluster in its own namespaces whose pods are ordinary processes. The README
// describes configuration and protocol. The other subcommands are the cluster's parts, which
// run starts; each has its own file here.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: controlplane run -config FILE|-

Starts a cluster, prints one line of JSON when it is ready, obeys commands on its standard
input, and ends with it. With -, the first line of the input is the configuration.

The parts of a cluster, which run starts by itself:
  inside       first process of the namespaces
  up           etcd, kube-apiserver, kube-controller-manager, kube-scheduler
  certmanager  controller and CA injector, or webhook
  cri          container runtime of one node
  kubelet      kubelet of one node
  proxy        Services, by kube-proxy or by our relay
  dns          names of Services

examples:
  controlplane run -config cluster.json
  (echo '{"dir":"/tmp/c","nodes":[{"name":"one"}]}'; cat) | controlplane run -config -
`

// errUsage says that the usage was printed already.
var errUsage = errors.New("usage")

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if os.Args[1] == "run" {
		os.Exit(run(os.Args[2:]))
	}
	parts := map[string]func(context.Context, []string) error{
		"inside": inside, "up": up, "certmanager": certManager, "cri": criServer,
		"kubelet": kubeletNode, "proxy": proxy, "dns": dns,
	}
	part := parts[os.Args[1]]
	if part == nil {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := part(ctx, os.Args[2:])
	stop()
	if err != nil && !errors.Is(err, errUsage) {
		fmt.Fprintf(os.Stderr, "controlplane: %s: %v\n", os.Args[1], err)
	}
	if err != nil {
		os.Exit(1)
	}
}

// parse reads the flags of one subcommand, which takes nothing else.
func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return errUsage
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return nil
}

func flagSet(name string) *flag.FlagSet { return flag.NewFlagSet(name, flag.ContinueOnError) }
