package kind

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/kind/pkg/cluster/nodes"
	"sigs.k8s.io/kind/pkg/exec"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

var errRefused = errors.New("refused")

// kernel is a node that keeps what nft and tc are told, and shows it as they do.
type kernel struct {
	nodes.Node
	name string

	mu     sync.Mutex
	table  string
	queues map[string]string // by address
	writes []string          // the places written to
	drops  int
	deaf   bool           // takes what it is told, and does nothing
	refuse map[string]int // how often writing fails, by place
	ruin   bool           // what fails is half done
}

func (k *kernel) String() string { return k.name }

func (k *kernel) CommandContext(ctx context.Context, _ string, args ...string) exec.Cmd {
	return &told{run: func(input string) (string, error) {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return k.run(args[1], args[3:], input)
	}}
}

func (k *kernel) run(script string, args []string, input string) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch script {
	case writeTable:
		return "", k.write("", strings.TrimPrefix(input, noTable), func(to string) { k.table = to })
	case writeQueues:
		return "", k.write(args[0], input, func(to string) { k.queues[args[0]] = to })
	case showTable:
		return strings.ReplaceAll(k.table, "counter ",
			fmt.Sprintf("counter packets %d bytes 60 ", k.drops)), nil
	case showQueues:
		return shown(k.queues[args[0]]), nil
	}
	return "", fmt.Errorf("unknown script: %s", script)
}

func (k *kernel) write(at, rules string, set func(string)) error {
	k.writes = append(k.writes, at)
	if k.refuse[at] > 0 {
		k.refuse[at]--
		if k.ruin {
			set("")
		}
		return errRefused
	}
	if !k.deaf {
		set(rules)
	}
	return nil
}

// shown prints what tc would, of the commands that queues returns.
func shown(commands string) string {
	var out strings.Builder
	for _, r := range toldQueues(commands) {
		words := strings.Fields(r.words)
		if words[1] != "to" {
			fmt.Fprintf(&out, "qdisc %s limit 100000 delay %s\n", r.words, r.delay)
			continue
		}
		var a, b, c, d int
		_, _ = fmt.Sscanf(words[0], "%d.%d.%d.%d", &a, &b, &c, &d)
		fmt.Fprintf(&out, "filter protocol ip pref 1 u32 chain 0 fh 800::800 *flowid %s\n"+
			"  match %02x%02x%02x%02x/ffffffff at 16\n", words[2], a, b, c, d)
	}
	return out.String()
}

// told is a command that runs in this process.
type told struct {
	run   func(input string) (string, error)
	input string
	out   io.Writer
}

func (c *told) Run() error {
	out, err := c.run(c.input)
	if c.out != nil {
		_, _ = io.WriteString(c.out, out)
	}
	return err
}

func (c *told) SetStdin(r io.Reader) exec.Cmd {
	text, _ := io.ReadAll(r)
	c.input = string(text)
	return c
}
func (c *told) SetStdout(w io.Writer) exec.Cmd { c.out = w; return c }
func (c *told) SetStderr(io.Writer) exec.Cmd   { return c }
func (c *told) SetEnv(...string) exec.Cmd      { return c }

// testNetwork is a network of two workers and the control plane, with the pods of pods.
func testNetwork(t *testing.T) (n *network, worker, worker2 *kernel) {
	t.Helper()
	objects := make([]runtime.Object, 0, len(pods()))
	for _, pod := range pods() {
		objects = append(objects, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Name: pod.pod, Namespace: "default", UID: types.UID(pod.uid),
				Labels: map[string]string{podLabel: pod.pod},
			},
			Spec:   corev1.PodSpec{NodeName: pod.node},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: pod.ip},
		})
	}
	all := map[string]*kernel{}
	for _, name := range []string{"control", "worker", "worker2"} {
		all[name] = &kernel{
			name: name, queues: map[string]string{}, refuse: map[string]int{},
		}
	}
	c := &cluster{
		client: fake.NewClientset(objects...), planned: plannedNodes()[:2],
		control: node{tryOnly{all["control"]}},
		workers: map[string]node{"fast": {all["worker"]}, "slow": {all["worker2"]}},
	}
	n = newNetwork(c)
	t.Cleanup(n.end)
	return n, all["worker"], all["worker2"]
}

// tryOnly is a control plane whose kernel has every queue.
type tryOnly struct{ *kernel }

func (tryOnly) CommandContext(context.Context, string, ...string) exec.Cmd {
	return &told{run: func(string) (string, error) { return "", nil }}
}

// vanish takes a pod's address away.
func vanish(t *testing.T, n *network, name string) {
	t.Helper()
	client := n.cluster.client.CoreV1().Pods("default")
	pod, err := client.Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	pod.Status.PodIP = ""
	_, err = client.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
	require.NoError(t, err)
}

func restoring(action scenarios.Action) scenarios.Action {
	action.Verb, action.Network = scenarios.RestoreNetwork, nil
	return action
}

func TestNetworkFaultsAreSeen(t *testing.T) {
	t.Parallel()
	n, worker, worker2 := testNetwork(t)
	worker.drops, worker2.drops = 0, 3
	cut := trouble(scenarios.NetworkTrouble{Cut: true}, "mesh-0")
	slow := trouble(scenarios.NetworkTrouble{Delay: 50 * time.Millisecond, Loss: 0.05}, "mesh-1")
	cut.Fault, slow.Fault = 1, 2
	seen, err := n.disturb(t.Context(), cut)
	require.NoError(t, err)
	assert.Equal(t, "nftables drops every packet between mesh-0 and 3 other pods, 3 so far", seen)
	seen, err = n.disturb(t.Context(), slow)
	require.NoError(t, err)
	assert.Equal(t, "tc shows a delay of 50ms on what mesh-1 send to 3 other pods; nftables drops "+
		"5 % of the packets between mesh-1 and 3 other pods, 6 so far", seen)
	seen, err = n.restore(t.Context(), restoring(slow))
	require.NoError(t, err)
	assert.Equal(t, "no rule or queue of this fault is left in 2 nodes", seen)
	assert.Len(t, marks(worker.table), 2, "of the other fault")
	assert.Empty(t, worker2.queues["10.244.2.2"])
	_, err = n.restore(t.Context(), restoring(cut))
	require.NoError(t, err)
	assert.Empty(t, worker.table+worker2.table)
	_, err = n.restore(t.Context(), restoring(cut))
	require.ErrorIs(t, err, harness.ErrUnsupported)
}

// No packet need have come: the rules are there. Workers without rules are passed by.
func TestDropsAreCountedWhereRulesAre(t *testing.T) {
	t.Parallel()
	n, worker, worker2 := testNetwork(t)
	for _, name := range []string{"mesh-0", "mesh-2"} { // all that are on worker
		vanish(t, n, name)
	}
	cut := trouble(scenarios.NetworkTrouble{Cut: true}, "mesh-1")
	seen, err := n.disturb(t.Context(), cut)
	require.NoError(t, err)
	assert.Equal(t, "nftables drops every packet between mesh-1 and one other pod, by rules that "+
		"are there and have met none so far", seen)
	assert.Empty(t, worker.table)
	assert.Len(t, marks(worker2.table), 2)
	worker2.drops = 4
	packets, err := n.drops(t.Context(), cut.Fault)
	require.NoError(t, err)
	assert.Equal(t, 8, packets)
	packets, err = n.countDrops(t.Context(), cut.Fault+1)
	require.NoError(t, err)
	assert.Zero(t, packets, "of another fault")
}

// What the kernel does not show is no proof, and is not left half done.
func TestNetworkFaultsThatAreNotSeen(t *testing.T) {
	t.Parallel()
	for name, network := range map[string]scenarios.NetworkTrouble{
		"cut":   {Cut: true},
		"loss":  {Loss: 0.1},
		"delay": {Delay: time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, _, worker2 := testNetwork(t)
			worker2.deaf = true
			_, err := n.disturb(t.Context(), trouble(network, "mesh-1"))
			require.ErrorIs(t, err, errUnseen)
			require.ErrorContains(t, err, " lacks ")
			assert.Empty(t, n.troubles)
		})
	}
	t.Run("what is to go", func(t *testing.T) {
		t.Parallel()
		n, _, worker2 := testNetwork(t)
		slow := trouble(scenarios.NetworkTrouble{Delay: time.Millisecond}, "mesh-1")
		_, err := n.disturb(t.Context(), slow)
		require.NoError(t, err)
		worker2.deaf = true
		_, err = n.restore(t.Context(), restoring(slow))
		require.ErrorIs(t, err, errUnseen)
		require.ErrorContains(t, err, " still has ")
		worker2.deaf = false
		_, err = n.restore(t.Context(), restoring(slow))
		require.NoError(t, err, "it can be tried again")
		assert.Empty(t, worker2.queues["10.244.2.2"])
	})
}

func TestEveryNamedPodIsLocated(t *testing.T) {
	t.Parallel()
	cut := trouble(scenarios.NetworkTrouble{Cut: true}, "mesh-0", "mesh-1")
	t.Run("a pod without an address", func(t *testing.T) {
		t.Parallel()
		n, worker, worker2 := testNetwork(t)
		vanish(t, n, "mesh-1")
		_, err := n.disturb(t.Context(), cut)
		require.ErrorIs(t, err, errNoAddress)
		require.ErrorContains(t, err, "mesh-1")
		assert.Empty(t, slices.Concat(worker.writes, worker2.writes))
	})
	t.Run("a pod on a node that is off", func(t *testing.T) {
		t.Parallel()
		n, _, _ := testNetwork(t)
		n.leave("worker2")
		_, err := n.disturb(t.Context(), cut)
		require.ErrorIs(t, err, errNoAddress)
		require.NoError(t, n.enter(t.Context(), "worker2"))
		_, err = n.disturb(t.Context(), cut)
		require.NoError(t, err)
	})
	t.Run("nobody to be cut off from", func(t *testing.T) {
		t.Parallel()
		n, worker, _ := testNetwork(t)
		vanish(t, n, "mesh-2")
		vanish(t, n, "mesh-3")
		_, err := n.disturb(t.Context(), cut)
		require.ErrorIs(t, err, errNoAddress)
		assert.Empty(t, worker.table)
	})
}

// What one place took is taken back when another one refuses, and what is half done is done anew.
func TestHalfAppliedFaultsAreTakenBack(t *testing.T) {
	t.Parallel()
	n, worker, worker2 := testNetwork(t)
	lossy := trouble(scenarios.NetworkTrouble{Loss: 0.1}, "mesh-2")
	lossy.Fault = 1
	_, err := n.disturb(t.Context(), lossy)
	require.NoError(t, err)
	before := []string{worker.table, worker2.table}

	cut := trouble(scenarios.NetworkTrouble{Cut: true}, "mesh-0")
	cut.Fault = 2
	func() {
		worker2.mu.Lock()
		defer worker2.mu.Unlock()
		worker2.refuse[""], worker2.ruin = 100, true
	}()
	_, err = n.disturb(t.Context(), cut)
	require.ErrorIs(t, err, errRefused)
	n.mu.Lock()
	assert.Equal(t, []int{1}, slices.Collect(maps.Keys(n.troubles)))
	n.mu.Unlock()
	func() {
		worker2.mu.Lock()
		defer worker2.mu.Unlock()
		worker2.refuse[""] = 0
	}()
	require.Eventually(t, func() bool { // by the follower
		worker2.mu.Lock()
		defer worker2.mu.Unlock()
		worker.mu.Lock()
		defer worker.mu.Unlock()
		return slices.Equal(before, []string{worker.table, worker2.table})
	}, 10*followEvery, followEvery/10)
}

// Nothing else is disturbed, so that nobody but the action itself takes it back.
func TestFaultsThatFailAreTakenBackAtOnce(t *testing.T) {
	t.Parallel()
	n, worker, worker2 := testNetwork(t)
	worker2.refuse["10.244.2.2"] = 1
	slow := trouble(scenarios.NetworkTrouble{Delay: time.Millisecond, Loss: 0.1}, "mesh-0",
		"mesh-1")
	_, err := n.disturb(t.Context(), slow)
	require.EqualError(t, err, "node worker2: refused: ")
	assert.Contains(t, worker2.writes, "10.244.2.2")
	for _, k := range []*kernel{worker, worker2} {
		assert.Empty(t, k.table, k.name)
		for at, rules := range k.queues {
			assert.Empty(t, rules, at)
		}
	}
	for at, rules := range n.applied {
		assert.Empty(t, rules, at)
	}
}
