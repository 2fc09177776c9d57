package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/certquake/certquake/clusters/embedded/controlplane/certmanager"
)

// startMax bounds the start of the whole cluster; a loaded machine takes ten times the usual.
const startMax = 3 * time.Minute

// Names of the parts that are not nodes'.
const (
	partAPI         = "control-plane"
	partCertManager = "cert-manager"
	partWebhook     = "cert-manager-webhook"
	partServices    = "services"
	partDNS         = "dns"
)

// start starts everything and prints the ready line.
func (c *cluster) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	c.say("starting etcd, kube-apiserver, kube-controller-manager, kube-scheduler")
	if err := c.startParts(c.controlParts()); err != nil {
		return err
	}
	if err := c.startNodes(); err != nil {
		return err
	}
	client, config, err := c.client()
	if err != nil {
		return err
	}
	var took Startup
	if err := c.awaitAPI(ctx, client); err != nil {
		return err
	}
	took.API = c.reached("the API server is ready")
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		err := certmanager.WaitReady(ctx, config)
		took.Issuing = c.reached("cert-manager issues")
		return err
	})
	group.Go(func() error {
		err := c.awaitNodes(ctx, client)
		took.Nodes = c.reached("%d nodes are ready", len(c.nodes))
		return err
	})
	group.Go(func() error { return awaitAccount(ctx, client) })
	if err := group.Wait(); err != nil {
		return err
	}
	c.print(c.facts(took))
	return nil
}

func (c *cluster) reached(format string, args ...any) time.Duration {
	c.say(format, args...)
	return time.Since(c.began)
}

func (c *cluster) controlParts() map[string][]string {
	kubeconfig := "-kubeconfig=" + adminConfig()
	services := []string{
		"proxy", kubeconfig, "-mode=" + c.services,
		"-node=" + c.config.Nodes[0].Name, "-pods=" + podRange,
	}
	for i := range c.config.Nodes {
		services = append(services, "-node-pods="+podsOf(i).String())
	}
	return map[string][]string{
		partAPI: {
			"up", "-data=" + state, "-pki=" + pkiDir,
			"-address=" + apiAddress().String(), "-services=" + serviceRange,
		},
		partCertManager: {"certmanager", kubeconfig, "-part=controller"},
		partWebhook: {
			"certmanager", kubeconfig, "-part=webhook",
			"-port=" + strconv.Itoa(webhookPort),
		},
		partServices: services,
		partDNS:      {"dns", kubeconfig, "-address=" + controlAddress},
	}
}

func (c *cluster) startParts(parts map[string][]string) error {
	for _, name := range []string{
		partAPI, partCertManager, partWebhook, partServices, partDNS,
	} {
		c.parts[name] = c.part(name)
		if err := c.parts[name].start(parts[name]); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) part(name string) *process {
	return &process{
		name: name, log: c.config.processLog(name), dies: c.died, group: &c.group,
	}
}

func (c *cluster) startNodes() error {
	images := filepath.Join(state, "images.json")
	text, err := json.Marshal(c.config.Images)
	if err != nil {
		return err
	}
	if err := os.WriteFile(images, text, 0o644); err != nil {
		return err
	}
	for i, each := range c.config.Nodes {
		if err := os.MkdirAll(nodeDir(each.Name), 0o755); err != nil {
			return err
		}
		runtime, kubelet := "cri/"+each.Name, "kubelet/"+each.Name
		n := &node{name: each.Name, settings: each.Settings, index: i, kubelet: c.part(kubelet)}
		c.parts[runtime], c.parts[kubelet] = c.part(runtime), n.kubelet
		c.nodes = append(c.nodes, n)
		if err := c.parts[runtime].start(c.runtimeArgs(n, images)); err != nil {
			return err
		}
		args := append(c.kubeletArgs(n, n.settings), "-patience=30s")
		if err := n.kubelet.start(args); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) runtimeArgs(n *node, images string) []string {
	return []string{
		"cri", "-socket=" + socket(n.name), "-images=" + images,
		"-root=" + filepath.Join(nodeDir(n.name), "containers"),
		"-address=" + nodeAddress(n.index), "-pods=" + podsOf(n.index).String(),
		"-gateway=" + podGateway, fmt.Sprintf("-keep-ids=%t", c.user),
	}
}

func (c *cluster) kubeletArgs(n *node, settings Settings) []string {
	file := c.authority.Path(nodeFile(n.name))
	return []string{
		"kubelet", "-name=" + n.name, "-kubeconfig=" + file + ".kubeconfig",
		"-cert=" + file + ".crt", "-key=" + file + ".key", "-ca=" + c.authority.Path("ca.crt"),
		"-root=" + filepath.Join(nodeDir(n.name), "kubelet"),
		"-logs=" + c.config.podLogs(n.name), "-socket=" + socket(n.name),
		"-address=" + nodeAddress(n.index), "-dns=" + controlAddress,
		"-sync-frequency=" + time.Duration(settings.SyncFrequency).String(),
		"-change-detection=" + settings.ChangeDetection,
		fmt.Sprintf("-user-namespace=%t", c.user),
	}
}

func (c *cluster) client() (*kubernetes.Clientset, *rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", adminConfig())
	if err != nil {
		return nil, nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	return client, config, err
}

func (c *cluster) awaitAPI(ctx context.Context, client *kubernetes.Clientset) error {
	err := await(ctx, 20*time.Millisecond, func() bool {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").
			Timeout(2*time.Second).Do(ctx).Error() == nil
	})
	if err != nil {
		return fmt.Errorf("wait for the API server: %w", err)
	}
	return nil
}

func (c *cluster) awaitNodes(ctx context.Context, client *kubernetes.Clientset) error {
	ready := 0
	err := await(ctx, 100*time.Millisecond, func() bool {
		list, err := client.CoreV1().Nodes().List(ctx, meta.ListOptions{})
		if err != nil {
			return false
		}
		ready = 0
		for _, node := range list.Items {
			for _, condition := range node.Status.Conditions {
				if condition.Type == core.NodeReady && condition.Status == core.ConditionTrue {
					ready++
				}
			}
		}
		return ready == len(c.nodes)
	})
	if err != nil {
		return fmt.Errorf("wait for nodes (%d of %d are ready): %w", ready, len(c.nodes), err)
	}
	return nil
}

// awaitAccount waits for the account of pods in the default namespace, without which the API
// server admits none.
func awaitAccount(ctx context.Context, client *kubernetes.Clientset) error {
	err := await(ctx, 50*time.Millisecond, func() bool {
		_, err := client.CoreV1().ServiceAccounts(meta.NamespaceDefault).
			Get(ctx, "default", meta.GetOptions{})
		return err == nil
	})
	if err != nil {
		return fmt.Errorf("wait for the default service account: %w", err)
	}
	return nil
}
