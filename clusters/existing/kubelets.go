package existing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

const (
	// defaultSync is how often a kubelet syncs a pod unless told otherwise.
	defaultSync = time.Minute
	// defaultTTL is how old a kubelet lets a cached object become unless its Node says else.
	defaultTTL = time.Minute
	// ttlAnnotation is where a Node does.
	ttlAnnotation = "node.alpha.kubernetes.io/ttl"
)

// kubelet is what matters of a kubelet's settings. Its zero value is of one that keeps them secret.
type kubelet struct {
	node  string
	known bool
	sync  time.Duration
	how   scenarios.ChangeDetection
	ttl   time.Duration // of Cache only
}

// String words the settings.
func (k kubelet) String() string {
	said := fmt.Sprintf("syncFrequency %s and %s", k.sync, k.how)
	if k.how == scenarios.Cache {
		said += " " + k.ttl.String()
	}
	return said
}

// planned returns the settings of a planned node.
func planned(node scenarios.PlannedNode) kubelet {
	k := kubelet{node: node.Name, known: true, sync: node.SyncFrequency, how: node.ChangeDetection}
	if k.how == scenarios.Cache {
		k.ttl = node.CacheTTL
		if k.ttl == 0 {
			k.ttl = defaultTTL
		}
	}
	return k
}

// like reports whether two kubelets deliver Secrets alike.
func (k kubelet) like(other kubelet) bool {
	return k.sync == other.sync && k.how == other.how && k.ttl == other.ttl
}

// checkNodes compares the planned nodes with the cluster's. Those that differ are refused, unless
// that is allowed.
func (c *cluster) checkNodes(ctx context.Context) error {
	kubelets, err := c.kubelets(ctx)
	if err != nil {
		harness.Say(ctx, "what settings the kubelets have cannot be told (%v): "+
			"they are taken for the defaults", err)
	}
	c.unlike = compare(c.plan.Nodes, kubelets)
	if len(c.unlike) == 0 || c.settings.partial {
		return nil
	}
	var problems []error
	for _, node := range c.plan.Nodes {
		if how := c.unlike[node.Name]; how != "" {
			problems = append(problems,
				fmt.Errorf("%w: node %s: %s", harness.ErrUnsupported, node.Name, how))
		}
	}
	hint := "give the scenario nodes like the cluster's, or say --allow-partial, which makes " +
		"the run inconclusive at best"
	if err != nil {
		hint += "; with " + rbacCommand(c.namespaces, len(c.plan.World.ClusterIssuers) > 0, true) +
			" the account may look at the settings"
	}
	return errors.Join(append(problems, fmt.Errorf("%w: %s", harness.ErrUnsupported, hint))...)
}

// compare says, by planned node, in what the kubelets that pods may run on are not like it. Without
// any that is known, they are taken for kubelets with the defaults.
func compare(nodes []scenarios.PlannedNode, kubelets []kubelet) map[string]string {
	unlike := map[string]string{}
	for _, node := range nodes {
		want := planned(node)
		var others, secret []string
		var has kubelet
		for _, k := range kubelets {
			switch {
			case !k.known:
				secret = append(secret, k.node)
			case !k.like(want):
				others, has = append(others, k.node), k
			}
		}
		usual := kubelet{sync: defaultSync, how: scenarios.Watch}
		switch {
		case len(others) > 0:
			unlike[node.Name] = fmt.Sprintf("%s was planned; the kubelet of %s has %s", want,
				strings.Join(others, ", "), has)
		case want.like(usual):
		case len(secret) > 0 || len(kubelets) == 0:
			unlike[node.Name] = fmt.Sprintf("%s was planned; what the cluster's nodes have is "+
				"not known", want)
		}
	}
	return unlike
}

// kubelets returns the settings of every kubelet that pods may run on.
func (c *cluster) kubelets(ctx context.Context) ([]kubelet, error) {
	nodes, err := c.client.CoreV1().Nodes().List(ctx, meta.ListOptions{})
	if err != nil {
		return nil, err
	}
	var all []kubelet
	var problem error
	for i := range nodes.Items {
		node := &nodes.Items[i]
		if !takesPods(node) {
			continue
		}
		k, err := c.kubeletOf(ctx, node)
		if err != nil {
			problem = err
		}
		all = append(all, k)
	}
	return all, problem
}

// takesPods reports whether the scheduler may put pods on a node that tolerate nothing.
func takesPods(node *core.Node) bool {
	return !node.Spec.Unschedulable && !slices.ContainsFunc(node.Spec.Taints,
		func(taint core.Taint) bool { return taint.Effect != core.TaintEffectPreferNoSchedule })
}

// kubeletOf asks a kubelet for its settings.
func (c *cluster) kubeletOf(ctx context.Context, node *core.Node) (kubelet, error) {
	var answer struct {
		Config struct {
			Sync meta.Duration             `json:"syncFrequency"`
			How  scenarios.ChangeDetection `json:"configMapAndSecretChangeDetectionStrategy"`
		} `json:"kubeletconfig"`
	}
	k := kubelet{node: node.Name}
	if err := c.ask(ctx, "/api/v1/nodes/"+node.Name+"/proxy/configz", &answer); err != nil {
		return k, err
	}
	if answer.Config.Sync.Duration <= 0 {
		return k, fmt.Errorf("the kubelet of %s does not tell them", node.Name)
	}
	k.known, k.sync, k.how = true, answer.Config.Sync.Duration, answer.Config.How
	if k.how == scenarios.Cache {
		k.ttl = defaultTTL
		if seconds, err := strconv.Atoi(node.Annotations[ttlAnnotation]); err == nil {
			k.ttl = time.Duration(seconds) * time.Second
		}
	}
	return k, nil
}
