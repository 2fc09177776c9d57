package kind

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

const (
	// kubeletMax bounds the wait for a kubelet; the API server may be away for a while.
	kubeletMax   = 2 * time.Minute
	kubeletEvery = 200 * time.Millisecond
	// defaultCacheTTL is how old a kubelet lets a cached object become unless its Node says else.
	defaultCacheTTL = time.Minute
)

// readConfig and writeConfig are the shell's part in giving a kubelet its settings.
const (
	readConfig  = `cat /var/lib/kubelet/config.yaml`
	writeConfig = `set -e
cat >/var/lib/kubelet/config.yaml.new
mv /var/lib/kubelet/config.yaml.new /var/lib/kubelet/config.yaml
systemctl restart kubelet`
)

// settings are the part of a kubelet's configuration that plans speak of, as files and configz have
// it.
type settings struct {
	SyncFrequency   metav1.Duration `json:"syncFrequency"`
	ChangeDetection string          `json:"configMapAndSecretChangeDetectionStrategy"`
}

// of reports whether these are a planned node's.
func (s settings) of(planned scenarios.PlannedNode) bool {
	return s.SyncFrequency.Duration == planned.SyncFrequency &&
		s.ChangeDetection == string(planned.ChangeDetection)
}

// editConfig returns a kubelet's configuration file with a planned node's settings.
func editConfig(file string, planned scenarios.PlannedNode) (string, error) {
	fields := map[string]any{}
	if err := yaml.Unmarshal([]byte(file), &fields); err != nil {
		return "", fmt.Errorf("read the kubelet's configuration: %w", err)
	}
	fields["syncFrequency"] = planned.SyncFrequency.String()
	fields["configMapAndSecretChangeDetectionStrategy"] = string(planned.ChangeDetection)
	text, err := yaml.Marshal(fields)
	if err != nil {
		return "", fmt.Errorf("write the kubelet's configuration: %w", err)
	}
	return string(text), nil
}

// configure gives a kubelet settings and waits until it says that it has them. One that says so
// already is left alone, unless it is to be restarted anyway.
func (c *cluster) configure(
	ctx context.Context, worker node, planned scenarios.PlannedNode, restart bool,
) error {
	if !restart {
		if now, err := c.configz(ctx, worker); err == nil && now.of(planned) {
			return nil
		}
	}
	file, err := worker.sh(ctx, readConfig)
	if err != nil {
		return err
	}
	edited, err := editConfig(file, planned)
	if err != nil {
		return err
	}
	if _, err = worker.feed(ctx, strings.NewReader(edited), writeConfig); err != nil {
		return err
	}
	return until(ctx, "restart the kubelet of "+planned.Name, kubeletEvery, kubeletMax,
		func(ctx context.Context) (bool, error) {
			now, err := c.configz(ctx, worker)
			return err == nil && now.of(planned), err
		})
}

// configz asks a kubelet for the settings that it has, by the API server's proxy.
func (c *cluster) configz(ctx context.Context, worker node) (settings, error) {
	ctx, cancel := context.WithTimeout(ctx, answerMax)
	defer cancel()
	var answer struct {
		Kubelet settings `json:"kubeletconfig"`
	}
	text, err := c.client.CoreV1().RESTClient().Get().Resource("nodes").Name(worker.String()).
		SubResource("proxy").Suffix("configz").DoRaw(ctx)
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	return answer.Kubelet, err
}

// ageCache tells a kubelet that caches how old an object may become, by the annotation that
// otherwise a controller sets, which does not run here.
func (c *cluster) ageCache(
	ctx context.Context, worker node, planned scenarios.PlannedNode,
) error {
	if planned.ChangeDetection != scenarios.Cache {
		return nil
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{"node.alpha.kubernetes.io/ttl":%q}}}`,
		strconv.Itoa(int(ttlOf(planned)/time.Second)))
	return until(ctx, "set the cache TTL of "+planned.Name, kubeletEvery, kubeletMax,
		func(ctx context.Context) (bool, error) {
			_, err := c.client.CoreV1().Nodes().Patch(ctx, worker.String(), types.MergePatchType,
				[]byte(patch), metav1.PatchOptions{})
			return err == nil, err
		})
}

func ttlOf(planned scenarios.PlannedNode) time.Duration {
	if planned.CacheTTL == 0 {
		return defaultCacheTTL
	}
	return planned.CacheTTL
}

// configureKubelet performs scenarios.ConfigureKubelet.
func (c *cluster) configureKubelet(
	ctx context.Context, worker node, action scenarios.Action,
) (string, error) {
	if action.Kubelet == nil {
		return "", fmt.Errorf("%w: no settings for the kubelet", harness.ErrUnsupported)
	}
	planned := *action.Kubelet
	planned.Name = action.Node
	if err := clusters.CheckKubelet(planned); err != nil {
		return "", clusters.Unsupported(err)
	}
	if err := c.ageCache(ctx, worker, planned); err != nil {
		return "", err
	}
	if err := c.configure(ctx, worker, planned, true); err != nil {
		return "", err
	}
	seen := fmt.Sprintf("the kubelet of %s serves with syncFrequency %s and %s", action.Node,
		planned.SyncFrequency, planned.ChangeDetection)
	if planned.ChangeDetection == scenarios.Cache {
		seen += " " + ttlOf(planned).String()
	}
	return seen, nil
}

// signalKubelet sends the kubelet a signal, waits until the kernel shows it in a state, and prints
// its process id. Its arguments are the signal and the states as a pattern.
const signalKubelet = `pid=$(systemctl show --property=MainPID --value kubelet)
[ "$pid" -gt 0 ] || { echo "no kubelet runs" >&2; exit 1; }
kill -"$1" "$pid"
for i in $(seq 100); do
	if grep -q "^State:[[:space:]]*[$2]" "/proc/$pid/status"; then echo "$pid"; exit; fi
	sleep 0.02
done
grep '^State:' "/proc/$pid/status" >&2
exit 1`

// pauseSync performs scenarios.PauseSync.
func (c *cluster) pauseSync(
	ctx context.Context, worker node, action scenarios.Action,
) (string, error) {
	pid, err := worker.sh(ctx, signalKubelet, "STOP", "T")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("the kernel shows the kubelet of %s (process %s) stopped", action.Node,
		pid), nil
}

// resumeSync performs scenarios.ResumeSync.
func (c *cluster) resumeSync(
	ctx context.Context, worker node, action scenarios.Action,
) (string, error) {
	pid, err := worker.sh(ctx, signalKubelet, "CONT", "RSDI")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("the kernel shows the kubelet of %s (process %s) going on", action.Node,
		pid), nil
}

// awaitNodes waits until every Node is ready.
func (c *cluster) awaitNodes(ctx context.Context) error {
	want := []string{c.control.String()}
	for _, worker := range c.workers {
		want = append(want, worker.String())
	}
	return until(ctx, "wait for the nodes to be ready", askEvery, joinedMax,
		func(ctx context.Context) (bool, error) {
			list, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
			if err != nil {
				return false, err
			}
			ready := map[string]bool{}
			for i := range list.Items {
				condition := readiness(&list.Items[i])
				ready[list.Items[i].Name] = condition.Status == corev1.ConditionTrue
			}
			for _, name := range want {
				if !ready[name] {
					return false, fmt.Errorf("node %s is not ready", name)
				}
			}
			return true, nil
		})
}

// readiness returns the condition of a Node that tells whether it is ready.
func readiness(node *corev1.Node) corev1.NodeCondition {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition
		}
	}
	return corev1.NodeCondition{}
}
