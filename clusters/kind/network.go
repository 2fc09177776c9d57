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
	applied  map[place]string         // what is not in it has nothing
	away     map[string]bool          // nodes that are stopped
	followed bool

	ctx      context.Context //nolint:containedctx // of the follower
	cancel   context.CancelFunc
	follower sync.WaitGroup
}

// place is a node, or a pod in it, with the rules of its own.
type place struct{ node, uid, ip string }

// unknown stands for the rules of a place that may have been half written: it is to be written
// anew, whatever it is to have.
const unknown = "unknown"

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
	if action.Network == nil || *action.Network == (scenarios.NetworkTrouble{}) {
		return "", fmt.Errorf("%w: nothing is to be done to the network", harness.ErrUnsupported)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if action.Network.Delay > 0 {
		if err := n.cluster.delays(ctx, n.queue); err != nil {
			return "", err
		}
	}
	pods, err := n.locate(ctx, action.Pods)
	if err != nil {
		return "", err
	}
	n.troubles[action.Fault] = action
	n.follow() //nolint:contextcheck // it goes on after ctx
	changed, err := n.apply(ctx, pods)
	if err == nil {
		err = n.look(ctx, changed)
	}
	var seen string
	if err == nil {
		seen, err = n.see(ctx, action, pods)
	}
	if err != nil {
		delete(n.troubles, action.Fault)
		return "", errors.Join(err, n.undo(ctx, pods))
	}
	return seen, nil
}

// changeMax bounds a change that nobody waits for: with one command in each place, all at once.
const changeMax = 30 * time.Second

// undo takes back what was done of a trouble that is no longer in the list. What it cannot do, the
// follower tries again.
func (n *network) undo(ctx context.Context, pods []podAddress) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeMax)
	defer cancel()
	asking, done := context.WithTimeout(ctx, answerMax)
	defer done()
	if now, err := n.cluster.podAddresses(asking); err == nil {
		pods = now
	}
	changed, err := n.apply(ctx, pods)
	if err == nil {
		err = n.look(ctx, changed)
	}
	if err != nil {
		return fmt.Errorf("take back what was done of it: %w", err)
	}
	return nil
}

// restore performs scenarios.RestoreNetwork.
func (n *network) restore(ctx context.Context, action scenarios.Action) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	trouble, found := n.troubles[action.Fault]
	if !found {
		return "", fmt.Errorf("%w: the network is not disturbed", harness.ErrUnsupported)
	}
	pods, err := n.locate(ctx, nil)
	if err != nil {
		return "", err
	}
	delete(n.troubles, action.Fault)
	places, err := n.apply(ctx, pods)
	if err == nil {
		for node := range n.nodes() {
			places = append(places, place{node: node.String()})
		}
		err = n.look(ctx, places)
	}
	if err != nil {
		n.troubles[action.Fault] = trouble
		return "", err
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

// comeBackMax is how long a pod that is to be disturbed may take to get an address: it may be
// restarting.
const comeBackMax = 5 * time.Second

// locate insists on knowing where pods are, the named ones above all: the API server may be away.
func (n *network) locate(ctx context.Context, named []string) ([]podAddress, error) {
	var pods []podAddress
	var answered time.Time
	err := until(ctx, "find the pods' addresses", kubeletEvery, kubeletMax,
		func(ctx context.Context) (found bool, err error) {
			if pods, err = n.cluster.podAddresses(ctx); err != nil {
				return false, err
			}
			if answered.IsZero() {
				answered = time.Now()
			}
			return len(n.missing(named, pods)) == 0 || time.Since(answered) > comeBackMax, nil
		})
	if err != nil {
		return nil, err
	}
	if missing := n.missing(named, pods); len(missing) > 0 {
		return nil, fmt.Errorf("%w: %s, on a node that runs, after %s", errNoAddress,
			strings.Join(missing, ", "), comeBackMax)
	}
	return pods, nil
}

// errNoAddress is of pods that cannot be disturbed, since nobody knows where they are.
var errNoAddress = errors.New("pods without an address")

// missing returns those of the named pods that are on no node that runs.
func (n *network) missing(named []string, pods []podAddress) []string {
	here := map[string]bool{}
	for worker := range n.nodes() {
		for _, pod := range on(worker.String(), pods) {
			here[pod.pod] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(named), func(name string) bool { return here[name] })
}

// apply brings every node and pod to what the troubles ask for, and returns the places that were
// not as they are to be. After an error those that may be half done are unknown.
func (n *network) apply(ctx context.Context, pods []podAddress) ([]place, error) {
	now := n.wanted(pods)
	maps.DeleteFunc(n.applied, func(at place, _ string) bool {
		_, there := now[at]
		return !there
	})
	var changed []place
	var tasks []func(context.Context) error
	var written sync.Mutex
	for at, rules := range now {
		if rules == n.applied[at] {
			continue
		}
		n.applied[at] = unknown
		changed = append(changed, at)
		tasks = append(tasks, func(ctx context.Context) error {
			if err := n.write(ctx, at, rules); err != nil {
				return err
			}
			written.Lock()
			defer written.Unlock()
			n.applied[at] = rules
			return nil
		})
	}
	return changed, all(ctx, tasks...)
}

// wanted returns what the troubles ask for in each place of the nodes that run.
func (n *network) wanted(pods []podAddress) map[place]string {
	var troubles []scenarios.Action
	for _, fault := range slices.Sorted(maps.Keys(n.troubles)) {
		troubles = append(troubles, n.troubles[fault])
	}
	want := map[place]string{}
	for worker := range n.nodes() {
		name := worker.String()
		want[place{node: name}] = ruleset(troubles, pods, name)
		for _, pod := range on(name, pods) {
			want[place{name, pod.uid, pod.ip}] = queues(troubles, pods, pod, n.queue)
		}
	}
	return want
}

// write replaces the rules of a place.
func (n *network) write(ctx context.Context, at place, rules string) error {
	worker, err := n.worker(at)
	if err != nil {
		return err
	}
	if at.ip == "" {
		_, err = worker.feed(ctx, strings.NewReader(noTable+rules), writeTable)
	} else {
		_, err = worker.feed(ctx, strings.NewReader(rules), writeQueues, at.ip, device)
	}
	return err
}

// worker returns the node that a place is in.
func (n *network) worker(at place) (node, error) {
	for worker := range n.nodes() {
		if worker.String() == at.node {
			return worker, nil
		}
	}
	return node{}, fmt.Errorf("node %s does not run", at.node)
}

// writeTable replaces the table of a node by what it is told.
const writeTable = "nft -f -"

// findNetwork finds the network of the container with the address $1. It is a file by the name
// that containerd gave it.
const findNetwork = `set -e
find_network() {
	for net in /var/run/netns/*; do
		if nsenter --net="$net" ip -4 -o address show dev "$2" 2>/dev/null | grep -qF " $1/"
		then return 0; fi
	done
	echo "no network of a container has the address $1" >&2
	return 1
}
`

// writeQueues replaces the queues of the pod with the address $1 by those that it is told, if any.
const writeQueues = findNetwork + `rules=$(cat)
find_network "$@" || { [ -z "$rules" ] && exit 0; exit 1; }
nsenter --net="$net" tc qdisc del dev "$2" root 2>/dev/null || true
[ -z "$rules" ] || echo "$rules" | nsenter --net="$net" tc -batch -`

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
	n.mu.Lock()
	defer n.mu.Unlock()
	unsure := slices.Contains(slices.Collect(maps.Values(n.applied)), unknown)
	if len(n.troubles) == 0 && !unsure {
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, changeMax)
	defer cancel()
	asking, done := context.WithTimeout(ctx, answerMax)
	defer done()
	if pods, err := n.cluster.podAddresses(asking); err == nil {
		_, _ = n.apply(ctx, pods)
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

// enter notes that a node runs again, without rules, and gives it those that it is to have. Its
// pods may have old addresses for a while, at which there is nothing to write to.
func (n *network) enter(ctx context.Context, node string) error {
	n.mu.Lock()
	delete(n.away, node)
	troubled := len(n.troubles) > 0
	n.mu.Unlock()
	if !troubled {
		return nil
	}
	return until(ctx, "disturb the network of "+node+" again", kubeletEvery, kubeletMax,
		func(ctx context.Context) (bool, error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			pods, err := n.cluster.podAddresses(ctx)
			var changed []place
			if err == nil {
				changed, err = n.apply(ctx, pods)
			}
			if err == nil {
				err = n.look(ctx, changed)
			}
			return err == nil, err
		})
}

// clear removes what an earlier run left in a node.
func (n *network) clear(ctx context.Context, from node) error {
	_, err := from.feed(ctx, strings.NewReader(noTable), writeTable+`
for net in /var/run/netns/*; do
	[ -e "$net" ] || continue
	nsenter --net="$net" tc qdisc show dev "$1" root 2>/dev/null | grep -q "^qdisc htb 1:" ||
		continue
	nsenter --net="$net" tc qdisc del dev "$1" root
done`, device)
	return err
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
