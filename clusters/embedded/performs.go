package embedded

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// deed is a command of the protocol, and what an answer to it says was seen.
type deed struct {
	verb scenarios.Verb
	do   string
	seen string // NODE stands for the planned node that the command is for, if it is for one
}

// nodeWord stands for a node in what was seen.
const nodeWord = "NODE"

// deeds are the commands that need nothing of an action but its node.
func deeds() []deed {
	return []deed{
		{scenarios.PauseSync, "pause-kubelet", "the kernel shows the kubelet of NODE stopped"},
		{scenarios.ResumeSync, "resume-kubelet", "the kernel shows the kubelet of NODE going on"},
		{
			scenarios.StopIssuer, "stop-cert-manager",
			"cert-manager's controller and CA injector have ended",
		},
		{
			scenarios.StartIssuer, "start-cert-manager",
			"cert-manager's controller and CA injector have started",
		},
		{
			scenarios.StopAPI, "stop-apiserver",
			"etcd, the API server, the controllers and the scheduler have ended",
		},
		{scenarios.StartAPI, "start-apiserver", "the API server is ready again"},
		{scenarios.StopWebhook, "stop-webhook", "cert-manager's webhook has ended"},
		{scenarios.StartWebhook, "start-webhook", "cert-manager's webhook admits a Certificate"},
	}
}

// Verbs returns what a Target of Up performs by itself, in alphabetical order. Of StopIssuer and
// StartIssuer that is cert-manager as a whole being stopped; single issuers and failing requests
// are a matter of the API.
func Verbs() []scenarios.Verb {
	verbs := []scenarios.Verb{scenarios.ConfigureKubelet}
	for _, deed := range deeds() {
		verbs = append(verbs, deed.verb)
	}
	slices.Sort(verbs)
	return verbs
}

// performs returns the Target's Performs.
func (c *cluster) performs(config *rest.Config) map[scenarios.Verb]clusters.Perform {
	performs := map[scenarios.Verb]clusters.Perform{
		scenarios.ConfigureKubelet: c.configure(config),
	}
	for _, deed := range deeds() {
		performs[deed.verb] = c.perform(deed)
	}
	return performs
}

// perform has the control plane do the deed.
func (c *cluster) perform(deed deed) clusters.Perform {
	return func(ctx context.Context, action scenarios.Action) (string, error) {
		if action.Issuer != "" || action.Mode != "" && action.Mode != scenarios.OutageStop {
			return "", fmt.Errorf("%w: only cert-manager as a whole can be stopped like this",
				harness.ErrUnsupported)
		}
		if strings.Contains(deed.seen, nodeWord) {
			return c.onNode(ctx, action.Node, command{Do: deed.do}, deed.seen)
		}
		return c.do(ctx, command{Do: deed.do}, deed.seen)
	}
}

// onNode sends a command for a planned node.
func (c *cluster) onNode(
	ctx context.Context, planned string, command command, seen string,
) (string, error) {
	name, found := c.names[planned]
	if !found {
		return "", fmt.Errorf("%w: no node %q", harness.ErrUnsupported, planned)
	}
	command.Node = name
	return c.do(ctx, command, strings.Replace(seen, nodeWord, planned, 1))
}

// do sends a command and says what was seen, and how soon.
func (c *cluster) do(ctx context.Context, command command, seen string) (string, error) {
	took, err := c.request(ctx, command)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, %s after the command", seen, took.Round(time.Millisecond/10)), nil
}

// configure restarts a kubelet with other settings. How old it lets cached objects become is said
// to it before, in an annotation of its Node.
func (c *cluster) configure(config *rest.Config) clusters.Perform {
	return func(ctx context.Context, action scenarios.Action) (string, error) {
		kubelet := action.Kubelet
		if kubelet == nil {
			return "", fmt.Errorf("%w: no settings for the kubelet", harness.ErrUnsupported)
		}
		if err := clusters.CheckKubelet(*kubelet); err != nil {
			return "", clusters.Unsupported(err)
		}
		node := *kubelet
		node.Name = action.Node
		seen := fmt.Sprintf("the kubelet of NODE serves with syncFrequency %s and %s",
			node.SyncFrequency, node.ChangeDetection)
		if node.ChangeDetection == scenarios.Cache {
			if err := c.ageCaches(ctx, config, []scenarios.PlannedNode{node}); err != nil {
				return "", err
			}
			seen += " " + ttlOf(node).String()
		}
		return c.onNode(ctx, action.Node,
			command{Do: "configure-kubelet", settings: settingsOf(node)}, seen)
	}
}

// annotateMax bounds how long an annotation may take; the API server may be away for a while.
const (
	annotateMax   = time.Minute
	annotateEvery = 200 * time.Millisecond
)

// ageCaches tells the kubelets of the nodes that cache how old an object may become, by the
// annotation that otherwise the controller manager's TTL controller sets, which does not run here.
func (c *cluster) ageCaches(
	ctx context.Context, config *rest.Config, nodes []scenarios.PlannedNode,
) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, annotateMax)
	defer cancel()
	for _, node := range nodes {
		name, found := c.names[node.Name]
		if !found {
			return fmt.Errorf("%w: no node %q", harness.ErrUnsupported, node.Name)
		}
		if node.ChangeDetection != scenarios.Cache {
			continue
		}
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"node.alpha.kubernetes.io/ttl":%q}}}`,
			strconv.Itoa(int(ttlOf(node)/time.Second)))
		if err := c.patchNode(ctx, client, name, patch); err != nil {
			return fmt.Errorf("set the cache TTL of node %s: %w", node.Name, err)
		}
	}
	return nil
}

func (c *cluster) patchNode(
	ctx context.Context, client kubernetes.Interface, name, patch string,
) error {
	tick := time.NewTicker(annotateEvery)
	defer tick.Stop()
	for {
		_, err := client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, []byte(patch),
			meta.PatchOptions{})
		if err == nil || refusedByAPI(err) {
			return err
		}
		select {
		case <-tick.C:
		case <-c.broken:
			return c.failure()
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// refusedByAPI tells an answer of the API server from its absence.
func refusedByAPI(err error) bool {
	status, ok := errors.AsType[interface {
		error
		apierrors.APIStatus
	}](err)
	return ok && status.Status().Code < http.StatusInternalServerError &&
		status.Status().Code != http.StatusTooManyRequests
}

func ttlOf(node scenarios.PlannedNode) time.Duration {
	if node.CacheTTL == 0 {
		return defaultCacheTTL
	}
	return node.CacheTTL
}
