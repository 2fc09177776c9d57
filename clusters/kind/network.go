package kind

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/scenarios"
)

// podLabel holds the planned name of a pod.
const podLabel = "certquake.dev/pod"

// network disturbs what pods send each other. What is to be disturbed is kept as a list of actions:
// each change, be it of the list or of a pod's address, is a new reading of all of it.
type network struct {
	cluster *cluster
	queue   leaf

	mu       sync.Mutex
	troubles map[int]scenarios.Action // by fault
	applied  map[place]string
	away     map[string]bool // nodes that are stopped
	followed bool

	ctx      context.Context //nolint:containedctx // of the follower
	cancel   context.CancelFunc
	follower sync.WaitGroup
}

// place is a node, or a pod in it, with the rules of its own.
type place struct{ node, uid, ip string }

func newNetwork(c *cluster) *network {
	n := &network{
		cluster: c, queue: netem, troubles: map[int]scenarios.Action{},
		applied: map[place]string{}, away: map[string]bool{},
	}
	if c.options.leaf != nil {
		n.queue = c.options.leaf
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

// disturb performs scenarios.DisturbNetwork.
func (n *network) disturb(ctx context.Context, action scenarios.Action) (string, error) {
	if action.Network == nil {
		return "", fmt.Errorf("%w: nothing is to be done to the network", harness.ErrUnsupported)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if action.Network.Delay > 0 {
		if err := n.cluster.delays(ctx, n.queue); err != nil {
			return "", err
		}
	}
	pods, err := n.locate(ctx)
	if err != nil {
		return "", err
	}
	n.troubles[action.Fault] = action
	if err := n.apply(ctx, pods); err != nil {
		delete(n.troubles, action.Fault)
		return "", errors.Join(err, n.apply(ctx, pods))
	}
	n.follow() //nolint:contextcheck // it goes on after ctx
	return n.see(ctx, action, pods)
}

// restore performs scenarios.RestoreNetwork.
func (n *network) restore(ctx context.Context, action scenarios.Action) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	trouble, found := n.troubles[action.Fault]
	if !found {
		return "", fmt.Errorf("%w: the network is not disturbed", harness.ErrUnsupported)
	}
	pods, err := n.locate(ctx)
	if err != nil {
		return "", err
	}
	delete(n.troubles, action.Fault)
	if err := n.apply(ctx, pods); err != nil {
		n.troubles[action.Fault] = trouble
		return "", err
	}
	for node := range n.nodes() {
		left, err := node.sh(ctx, "nft list tables inet")
		if err != nil {
			return "", err
		}
		if len(n.troubles) == 0 && strings.Contains(left, tableName) {
			return "", fmt.Errorf("node %s still has the table %s", node, tableName)
		}
	}
	return "no rule or queue of this fault is left in " +
		count(len(n.cluster.workers)-len(n.away), "node"), nil
}

// nodes yields the workers that run.
func (n *network) nodes() func(func(node) bool) {
	return func(yield func(node) bool) {
		for _, planned := range n.cluster.planned {
			worker := n.cluster.workers[planned.Name]
			if !n.away[worker.String()] && !yield(worker) {
				return
			}
		}
	}
}

// locate insists on knowing where pods are: the API server may be away.
func (n *network) locate(ctx context.Context) ([]podAddress, error) {
	var pods []podAddress
	err := until(ctx, "find the pods' addresses", kubeletEvery, kubeletMax,
		func(ctx context.Context) (found bool, err error) {
			pods, err = n.cluster.podAddresses(ctx)
			return err == nil, err
		})
	return pods, err
}

// apply brings every node and pod to what the troubles ask for.
func (n *network) apply(ctx context.Context, pods []podAddress) error {
	var troubles []scenarios.Action
	for _, fault := range slices.Sorted(maps.Keys(n.troubles)) {
		troubles = append(troubles, n.troubles[fault])
	}
	var tasks []func(context.Context) error
	now := map[place]string{}
	for worker := range n.nodes() {
		at := place{node: worker.String()}
		now[at] = ruleset(troubles, pods, at.node)
		if now[at] != n.applied[at] && (n.applied[at] != "" || now[at] != ruleset(nil, nil, "")) {
			tasks = append(tasks, func(ctx context.Context) error {
				_, err := worker.feed(ctx, strings.NewReader(now[at]), "nft -f -")
				return err
			})
		}
		for _, pod := range on(at.node, pods) {
			within := place{at.node, pod.uid, pod.ip}
			now[within] = queues(troubles, pods, pod, n.queue)
			if now[within] != n.applied[within] {
				tasks = append(tasks, func(ctx context.Context) error {
					_, err := worker.feed(ctx, strings.NewReader(now[within]), shape, pod.ip,
						device)
					return err
				})
			}
		}
	}
	if err := all(ctx, tasks...); err != nil {
		return err
	}
	n.applied = now
	return nil
}

// shape replaces the queues of the pod with the address $1 by those that it is told, if any. The
// network of a container is a file by the name that containerd gave it.
const shape = `set -e
rules=$(cat)
for net in /var/run/netns/*; do
	nsenter --net="$net" ip -4 -o address show dev "$2" 2>/dev/null | grep -qF " $1/" || continue
	nsenter --net="$net" tc qdisc del dev "$2" root 2>/dev/null || true
	[ -z "$rules" ] || echo "$rules" | nsenter --net="$net" tc -batch -
	exit 0
done
echo "no network of a container has the address $1" >&2
exit 1`

// podAddresses returns the pods of the plan that have an address, in the order of their names.
func (c *cluster) podAddresses(ctx context.Context) ([]podAddress, error) {
	list, err := c.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{LabelSelector: podLabel})
	if err != nil {
		return nil, err
	}
	var pods []podAddress
	for i := range list.Items {
		pod := &list.Items[i]
		if pod.Status.PodIP == "" || pod.Status.Phase != corev1.PodRunning ||
			pod.DeletionTimestamp != nil {
			continue
		}
		pods = append(pods, podAddress{
			pod: pod.Labels[podLabel], node: pod.Spec.NodeName, uid: string(pod.UID),
			ip: pod.Status.PodIP,
		})
	}
	slices.SortFunc(pods, func(a, b podAddress) int { return strings.Compare(a.pod, b.pod) })
	return pods, nil
}

// followEvery is how often pods are looked at that may have other addresses.
const followEvery = time.Second

// follow applies the troubles to pods that are restarted, from now on.
func (n *network) follow() {
	if n.followed {
		return
	}
	n.followed = true
	n.follower.Go(func() {
		tick := time.NewTicker(followEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				n.refresh()
			case <-n.ctx.Done():
				return
			}
		}
	})
}

// refresh looks where pods are now. What cannot be done is tried again.
func (n *network) refresh() {
	ctx, cancel := context.WithTimeout(n.ctx, answerMax)
	defer cancel()
	pods, err := n.cluster.podAddresses(ctx)
	if err != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.troubles) > 0 {
		_ = n.apply(ctx, pods)
	}
}

// end ends what goes on beside the calls.
func (n *network) end() {
	n.cancel()
	n.follower.Wait()
}

// leave notes that a node is about to be stopped: its rules go with it.
func (n *network) leave(node string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.away[node] = true
	for at := range n.applied {
		if at.node == node {
			delete(n.applied, at)
		}
	}
}

// enter notes that a node runs again, without rules.
func (n *network) enter(ctx context.Context, node string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.away, node)
	if len(n.troubles) == 0 {
		return nil
	}
	pods, err := n.locate(ctx)
	if err != nil {
		return err
	}
	return n.apply(ctx, pods)
}

// clear removes what an earlier run left in a node.
func (n *network) clear(ctx context.Context, from node) error {
	_, err := from.feed(ctx, strings.NewReader(ruleset(nil, nil, "")), `nft -f -
for net in /var/run/netns/*; do
	[ -e "$net" ] || continue
	nsenter --net="$net" tc qdisc show dev "$1" root 2>/dev/null | grep -q "^qdisc htb 1:" ||
		continue
	nsenter --net="$net" tc qdisc del dev "$1" root
done`, device)
	return err
}

// The time in which a first packet that is dropped makes the proof a better one.
const (
	hitMax   = time.Second
	hitEvery = 100 * time.Millisecond
)

// see says what the kernel shows of a trouble.
func (n *network) see(
	ctx context.Context, action scenarios.Action, pods []podAddress,
) (string, error) {
	named, others := sides(action, pods)
	between := fmt.Sprintf("between %s and %s", strings.Join(names(named), ", "),
		count(len(others), "other pod"))
	if action.Network.Delay > 0 {
		return fmt.Sprintf("tc shows a delay of %s on what %s send to %s", action.Network.Delay,
			strings.Join(names(named), ", "), count(len(others), "other pod")), nil
	}
	if verdictOf(action.Network) == "" {
		return "nothing is done " + between, nil
	}
	packets := 0
	err := until(ctx, "see a packet dropped", hitEvery, hitMax,
		func(ctx context.Context) (bool, error) {
			packets = 0
			for node := range n.nodes() {
				text, err := node.sh(ctx, "nft list table inet "+tableName)
				if err != nil {
					return false, err
				}
				packets += dropped(text)
			}
			return packets > 0, nil
		})
	if err != nil && !errors.Is(err, errLate) {
		return "", err
	}
	what := "every packet"
	if !action.Network.Cut {
		what = fmt.Sprintf("%.4g %% of the packets", 100*action.Network.Loss)
	}
	return fmt.Sprintf("nftables drops %s %s, %d so far", what, between, packets), nil
}

// dropped adds up what the counters of a table have counted.
func dropped(table string) int {
	total := 0
	for rest := table; ; {
		_, after, found := strings.Cut(rest, "counter packets ")
		if !found {
			return total
		}
		n := 0
		_, _ = fmt.Sscanf(after, "%d", &n)
		total, rest = total+n, after
	}
}

func names(pods []podAddress) []string {
	all := make([]string, len(pods))
	for i, pod := range pods {
		all[i] = pod.pod
	}
	return all
}

// errNoNetem is of a kernel that cannot delay packets.
var errNoNetem = errors.New("the kernel that the nodes run on has no sch_netem, which delays " +
	"packets: load it by modprobe sch_netem there, use a kernel that has it " +
	"(CONFIG_NET_SCH_NETEM), or use loss or cut instead of delay")

// tryNetem fails where the kernel has no such queue. Its argument is the queue.
const tryNetem = "tc qdisc add dev lo root $1"

// delays reports, in a network of its own on the control plane, whether the kernel has the queue.
func (c *cluster) delays(ctx context.Context, queue leaf) error {
	_, err := c.control.sh(ctx, `unshare --net sh -c "`+tryNetem+`" sh "$1"`,
		queue(time.Millisecond))
	if err != nil {
		return fmt.Errorf("%w: %w: %w", harness.ErrUnsupported, errNoNetem, err)
	}
	return nil
}
