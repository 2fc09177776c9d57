//go:build e2e

package kind

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// e2eMax bounds the test of all faults.
const e2eMax = 15 * time.Minute

// tbf is a queue that every kernel has, in place of netem: what is tested of a delay is that it is
// put between the right pods.
func tbf(delay time.Duration) string {
	return fmt.Sprintf("tbf rate 1gbit burst 1mb latency %dms", delay.Milliseconds())
}

// trial is a cluster of two workers, with a pod on each and one more on the first.
type trial struct {
	*clusters.Target
	t      *testing.T
	client kubernetes.Interface
	engine engine
	name   string
}

// Each fault is done to a real cluster and looked at by other means than those of its proof.
// Nothing is left of the cluster. The parts are in the order in which the cluster goes through
// them.
func TestFaultsOnARealCluster(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), e2eMax)
	defer cancel()
	ctx = harness.WithTalk(ctx, func(line string) { t.Log(line) })
	options := Options{Bin: os.Getenv("CERTQUAKE_BIN"), leaf: tbf}
	target, err := options.Up(ctx, plannedNodes()[:2])
	require.NoError(t, err)
	down := func() {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		assert.NoError(t, target.Down(limited))
	}
	t.Cleanup(down)
	client, err := kubernetes.NewForConfig(target.Config)
	require.NoError(t, err)
	tr := &trial{Target: target, t: t, client: client, engine: engine(target.Versions["engine"])}
	tr.name = strings.TrimSuffix(target.Nodes["fast"], "-worker")
	volumes := tr.volumes(ctx)
	tr.settings(ctx)
	tr.sync(ctx)
	tr.issuer(ctx)
	tr.webhook(ctx)
	tr.network(ctx)
	tr.power(ctx)
	tr.outage(ctx)
	down()
	tr.left(ctx, volumes)
}

// volumes returns those of the cluster's containers.
func (tr *trial) volumes(ctx context.Context) []string {
	tr.t.Helper()
	var all []string
	for _, node := range []string{"", "fast", "slow"} {
		text, err := tr.engine.do(ctx, "inspect", "--format",
			`{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{end}}{{end}}`, tr.container(node))
		require.NoError(tr.t, err)
		all = append(all, strings.Fields(text)...)
	}
	require.NotEmpty(tr.t, all)
	return all
}

// left asserts that the engine has nothing of the cluster.
func (tr *trial) left(ctx context.Context, volumes []string) {
	tr.t.Helper()
	for _, args := range [][]string{
		{"ps", "-a", "--filter", "name=" + tr.name, "--format", "{{.Names}}"},
		{"network", "ls", "--filter", "name=" + tr.name, "--format", "{{.Name}}"},
	} {
		got, err := tr.engine.do(ctx, args...)
		require.NoError(tr.t, err)
		assert.Empty(tr.t, got, args)
	}
	got, err := tr.engine.do(ctx, "volume", "ls", "-q")
	require.NoError(tr.t, err)
	for _, volume := range volumes {
		assert.NotContains(tr.t, got, volume)
	}
	assert.NoFileExists(tr.t, tr.Kubeconfig)
}

// container returns the container that stands for a planned node, or for "" the control plane's.
func (tr *trial) container(node string) string {
	if name := tr.Nodes[node]; name != "" {
		return name
	}
	return controlName(tr.name)
}

// do performs an action and returns what was seen.
func (tr *trial) do(ctx context.Context, action scenarios.Action) string {
	tr.t.Helper()
	begun := time.Now()
	seen, err := tr.Performs[action.Verb](ctx, action)
	require.NoError(tr.t, err)
	tr.t.Logf("%s: %s (%s)", action.Verb, seen, time.Since(begun).Round(time.Millisecond))
	return seen
}

// in runs a script in the node that stands for a planned one.
func (tr *trial) in(ctx context.Context, node, script string) string {
	tr.t.Helper()
	out, err := tr.engine.do(ctx, "exec", tr.container(node), "sh", "-c", script)
	require.NoError(tr.t, err)
	return out
}

func (tr *trial) settings(ctx context.Context) {
	const read = `grep -E "^(syncFrequency|configMapAnd)" /var/lib/kubelet/config.yaml`
	assert.Contains(tr.t, tr.in(ctx, "fast", read), "syncFrequency: 10s")
	assert.Contains(tr.t, tr.in(ctx, "slow", read), "Strategy: Get")
	node := plannedNodes()[2] // caches
	seen := tr.do(ctx, scenarios.Action{
		Verb: scenarios.ConfigureKubelet, Node: "slow", Kubelet: &node,
	})
	assert.Equal(tr.t, "the kubelet of slow serves with syncFrequency 1m0s and Cache 30s", seen)
	assert.Contains(tr.t, tr.in(ctx, "slow", read), "Strategy: Cache")
	got, err := tr.client.CoreV1().Nodes().Get(ctx, tr.Nodes["slow"], metav1.GetOptions{})
	require.NoError(tr.t, err)
	assert.Equal(tr.t, "30", got.Annotations["node.alpha.kubernetes.io/ttl"])
}

func (tr *trial) sync(ctx context.Context) {
	const state = `grep ^State: /proc/$(systemctl show -p MainPID --value kubelet)/status`
	tr.do(ctx, scenarios.Action{Verb: scenarios.PauseSync, Node: "fast"})
	assert.Contains(tr.t, tr.in(ctx, "fast", state), "stopped")
	assert.NotContains(tr.t, tr.in(ctx, "slow", state), "stopped")
	tr.do(ctx, scenarios.Action{Verb: scenarios.ResumeSync, Node: "fast"})
	assert.NotContains(tr.t, tr.in(ctx, "fast", state), "stopped")
}

// processes returns how many processes of a program there are on the control plane.
func (tr *trial) processes(ctx context.Context, program string) string {
	return tr.in(ctx, "", `n=0; for f in /proc/[0-9]*/cmdline; do
	case $(tr '\0' ' ' <$f 2>/dev/null) in *`+program+`*) n=$((n+1));; esac; done; echo $n`)
}

func (tr *trial) issuer(ctx context.Context) {
	const controller = "cluster-resource-namespace"
	assert.NotEqual(tr.t, "0", tr.processes(ctx, controller))
	tr.do(ctx, scenarios.Action{Verb: scenarios.StopIssuer})
	// The search itself has the word in its arguments once or twice.
	stopped := tr.processes(ctx, controller)
	tr.do(ctx, scenarios.Action{Verb: scenarios.StartIssuer})
	assert.NotEqual(tr.t, stopped, tr.processes(ctx, controller))
	_, err := tr.Performs[scenarios.StopIssuer](ctx,
		scenarios.Action{Verb: scenarios.StopIssuer, Issuer: "/one"})
	require.ErrorIs(tr.t, err, harness.ErrUnsupported)
}

func (tr *trial) webhook(ctx context.Context) {
	trial := func() error {
		_, err := tr.client.Discovery().RESTClient().Post().
			AbsPath("/apis/cert-manager.io/v1/namespaces/default/certificates").
			Param("dryRun", "All").SetHeader("Content-Type", "application/json").
			Body([]byte(trialCertificate)).DoRaw(ctx)
		return err
	}
	tr.do(ctx, scenarios.Action{Verb: scenarios.StopWebhook})
	require.Error(tr.t, trial())
	tr.do(ctx, scenarios.Action{Verb: scenarios.StartWebhook})
	require.NoError(tr.t, trial())
}

// pods makes pods that a plan could have, of an image that every node has, and returns their
// addresses.
func (tr *trial) pods(ctx context.Context) map[string]string {
	pause := tr.in(ctx, "", "ctr -n k8s.io images ls -q | grep pause: | head -n 1")
	places := map[string]string{"a-0": "fast", "a-1": "fast", "a-2": "slow"}
	for name, node := range places {
		_, err := tr.client.CoreV1().Pods("default").Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{podLabel: name}},
			Spec: corev1.PodSpec{
				NodeName: tr.Nodes[node], TerminationGracePeriodSeconds: new(int64(0)),
				Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
				Containers: []corev1.Container{{
					Name: "pause", Image: pause, ImagePullPolicy: corev1.PullNever,
				}},
			},
		}, metav1.CreateOptions{})
		require.NoError(tr.t, err)
	}
	return tr.addresses(ctx, len(places))
}

// addresses waits until so many pods have one.
func (tr *trial) addresses(ctx context.Context, n int) map[string]string {
	ips := map[string]string{}
	require.Eventually(tr.t, func() bool {
		list, err := tr.client.CoreV1().Pods("default").List(ctx,
			metav1.ListOptions{LabelSelector: podLabel})
		if err != nil {
			return false
		}
		for _, pod := range list.Items {
			if net.ParseIP(pod.Status.PodIP) != nil {
				ips[pod.Name] = pod.Status.PodIP
			}
		}
		return len(ips) == n
	}, time.Minute, 200*time.Millisecond)
	return ips
}

// within runs a command in the network of the pod with an address, on the first node.
func (tr *trial) within(ctx context.Context, ip, command string) string {
	return tr.in(ctx, "fast", `for net in /var/run/netns/*; do
	nsenter --net=$net ip -4 -o address show dev eth0 | grep -qF " `+ip+`/" || continue
	nsenter --net=$net `+command+` 2>&1 || true
done`)
}

// reaches reports whether packets get from one pod to another and back: nobody listens there, which
// the other end says at once.
func (tr *trial) reaches(ctx context.Context, from, to string) bool {
	return strings.Contains(tr.within(ctx, from,
		`timeout 0.7 bash -c "echo >/dev/tcp/`+to+`/9"`), "refused")
}

func (tr *trial) network(ctx context.Context) {
	ips := tr.pods(ctx)
	among := func(want bool, pairs ...string) {
		tr.t.Helper()
		for _, pair := range pairs {
			from, to, _ := strings.Cut(pair, " ")
			assert.Equal(tr.t, want, tr.reaches(ctx, ips[from], ips[to]), pair)
		}
	}
	among(true, "a-0 a-1", "a-0 a-2", "a-1 a-2")
	tr.refused(ctx)
	cut := scenarios.Action{
		Verb: scenarios.DisturbNetwork, Fault: 1, Pods: []string{"a-0"},
		Network: &scenarios.NetworkTrouble{Cut: true},
	}
	tr.do(ctx, cut)
	among(false, "a-0 a-1", "a-1 a-0", "a-0 a-2")
	among(true, "a-1 a-2")
	cut.Verb = scenarios.RestoreNetwork
	tr.do(ctx, cut)
	among(true, "a-0 a-1", "a-0 a-2")

	lossy := cut
	lossy.Verb, lossy.Network = scenarios.DisturbNetwork, &scenarios.NetworkTrouble{Loss: 0.3}
	tr.do(ctx, lossy)
	answered := 0
	const dials = 20 // of which about half are answered
	for range dials {
		if tr.reaches(ctx, ips["a-0"], ips["a-2"]) {
			answered++
		}
	}
	assert.Positive(tr.t, answered)
	assert.Less(tr.t, answered, dials)
	tr.delay(ctx, ips)
	lossy.Verb = scenarios.RestoreNetwork
	tr.do(ctx, lossy)
	among(true, "a-0 a-2")
	tr.clean(ctx)
}

// delay is on top of the loss, which is another fault's.
func (tr *trial) delay(ctx context.Context, ips map[string]string) {
	const show = "tc qdisc show dev eth0"
	slow := scenarios.Action{
		Verb: scenarios.DisturbNetwork, Fault: 2, Pods: []string{"a-1"},
		Network: &scenarios.NetworkTrouble{Delay: 20 * time.Millisecond},
	}
	tr.do(ctx, slow)
	assert.Contains(tr.t, tr.within(ctx, ips["a-1"], show), "qdisc tbf 2: parent 1:2")
	assert.NotContains(tr.t, tr.within(ctx, ips["a-0"], show), "tbf")
	assert.True(tr.t, tr.reaches(ctx, ips["a-1"], ips["a-2"]))
	sent := tr.within(ctx, ips["a-1"], "tc -s qdisc show dev eth0")
	assert.NotContains(tr.t, sent[strings.Index(sent, "tbf"):], "Sent 0 bytes", sent)
	slow.Verb = scenarios.RestoreNetwork
	tr.do(ctx, slow)
	assert.NotContains(tr.t, tr.within(ctx, ips["a-1"], show), "htb")
}

// power cuts a node's while its pod is cut off from the others, which it is still afterwards.
func (tr *trial) power(ctx context.Context) {
	cut := scenarios.Action{
		Verb: scenarios.DisturbNetwork, Fault: 3, Pods: []string{"a-2"},
		Network: &scenarios.NetworkTrouble{Cut: true},
	}
	tr.do(ctx, cut)
	tr.do(ctx, scenarios.Action{Verb: scenarios.StopNode, Node: "slow"})
	running, err := tr.engine.running(ctx, tr.Nodes["slow"])
	require.NoError(tr.t, err)
	assert.False(tr.t, running)
	tr.do(ctx, scenarios.Action{Verb: scenarios.StartNode, Node: "slow"})
	require.Eventually(tr.t, func() bool {
		pod, err := tr.client.CoreV1().Pods("default").Get(ctx, "a-2", metav1.GetOptions{})
		return err == nil && len(pod.Status.ContainerStatuses) > 0 &&
			pod.Status.ContainerStatuses[0].RestartCount > 0 &&
			pod.Status.ContainerStatuses[0].State.Running != nil
	}, time.Minute, 200*time.Millisecond)
	ips := tr.addresses(ctx, 3)
	time.Sleep(2 * followEvery)
	assert.False(tr.t, tr.reaches(ctx, ips["a-0"], ips["a-2"]))
	cut.Verb = scenarios.RestoreNetwork
	tr.do(ctx, cut)
	assert.True(tr.t, tr.reaches(ctx, ips["a-0"], ips["a-2"]))
}

func (tr *trial) outage(ctx context.Context) {
	ask := func() error {
		limited, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := tr.client.CoreV1().Pods(managerNamespace).List(limited, metav1.ListOptions{})
		return err
	}
	for range 2 { // no back-off makes the second return slower
		tr.do(ctx, scenarios.Action{Verb: scenarios.StopAPI})
		require.Error(tr.t, ask())
		begun := time.Now()
		tr.do(ctx, scenarios.Action{Verb: scenarios.StartAPI})
		assert.Less(tr.t, time.Since(begun), time.Minute)
		require.NoError(tr.t, ask())
	}
}
