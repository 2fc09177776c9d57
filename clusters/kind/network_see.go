package kind

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/certquake/certquake/scenarios"
)

// showTable prints the table of the name $1, nothing if there is none.
const showTable = `set -e
tables=$(nft list tables inet)
echo "$tables" | grep -qxF "table inet $1" || exit 0
nft list table inet "$1"`

// showQueues prints the queues of the pod with the address $1, and what goes into which. A pod that
// is gone has none.
const showQueues = findNetwork + `find_network "$@" || exit 0
nsenter --net="$net" tc qdisc show dev "$2"
nsenter --net="$net" tc filter show dev "$2" parent 1: || true`

// errUnseen is of rules that the kernel does not show, though it was told them.
var errUnseen = errors.New("the kernel does not show what it was told")

// look has the kernel show places, and fails unless it shows what was applied there. A place where
// it does not is unknown from then on.
func (n *network) look(ctx context.Context, places []place) error {
	var noting sync.Mutex
	var tasks []func(context.Context) error
	for _, at := range places {
		rules := n.applied[at]
		tasks = append(tasks, func(ctx context.Context) error {
			err := n.lookAt(ctx, at, rules)
			if err != nil {
				noting.Lock()
				defer noting.Unlock()
				n.applied[at] = unknown
			}
			return err
		})
	}
	return all(ctx, tasks...)
}

// lookAt has the kernel show one place.
func (n *network) lookAt(ctx context.Context, at place, rules string) error {
	worker, err := n.worker(at)
	if err != nil {
		return err
	}
	var shown string
	if at.ip == "" {
		shown, err = worker.sh(ctx, showTable, tableName)
	} else {
		shown, err = worker.sh(ctx, showQueues, at.ip, device)
	}
	switch {
	case err != nil:
		return err
	case at.ip == "":
		return compare("nft in node "+at.node, marks(rules), marks(shown))
	}
	return compare(fmt.Sprintf("tc in the pod of %s on node %s", at.ip, at.node),
		toldQueues(rules), shownQueues(shown))
}

// rule is what a rule or a queue is known by.
type rule struct {
	words string
	delay time.Duration
}

func (r rule) String() string {
	if r.delay == 0 {
		return r.words
	}
	return fmt.Sprintf("%s, delay %s", r.words, r.delay)
}

// like reports whether two are the same, but for what the kernel and tc round.
func (r rule) like(other rule) bool {
	return r.words == other.words &&
		(r.delay-other.delay).Abs() <= r.delay/100+2*time.Microsecond
}

// compare fails unless what is shown is what is wanted.
func compare(where string, want, shown []rule) error {
	switch lacks, excess := without(want, shown), without(shown, want); {
	case len(lacks) > 0:
		return fmt.Errorf("%w: %s lacks %v", errUnseen, where, lacks)
	case len(excess) > 0:
		return fmt.Errorf("%w: %s still has %v", errUnseen, where, excess)
	}
	return nil
}

// without returns those rules that are not among the others.
func without(rules, others []rule) []rule {
	return slices.DeleteFunc(slices.Clone(rules), func(r rule) bool {
		return slices.ContainsFunc(others, r.like)
	})
}

// marks returns the marks of a table's rules, as it is told to nft or as nft prints it.
func marks(table string) []rule {
	var all []rule
	for _, found := range regexp.MustCompile(`comment "([^"]+)"`).FindAllStringSubmatch(table, -1) {
		all = append(all, rule{words: found[1]})
	}
	return all
}

// toldQueues returns what queues makes, in the words of shownQueues.
func toldQueues(commands string) []rule {
	var all []rule
	for line := range strings.Lines(commands) {
		words := strings.Fields(line)
		switch words[0] {
		case "qdisc": // add dev eth0 parent 1:2 handle 2: netem delay 50000us
			at := slices.Index(words, "handle")
			all = append(all, queueRule(words[at+2], words[at+1], words[4:at], words))
		case "filter": // add ... u32 match ip dst 10.244.1.3/32 flowid 1:2
			all = append(all, filterRule(after(words, "dst"), after(words, "flowid")))
		}
	}
	return all
}

// shownQueues returns the queues that tc prints which are ours, and the filters before them.
func shownQueues(output string) []rule {
	var all []rule
	var flow string
	for line := range strings.Lines(output) {
		words := strings.Fields(line)
		switch {
		case len(words) > 4 && words[0] == "qdisc" && strings.HasPrefix(words[4], "1:"):
			all = append(all, queueRule(words[1], words[2], words[3:5], words))
		case len(words) > 3 && words[0] == "qdisc" && words[2] == "1:":
			all = append(all, queueRule(words[1], words[2], words[3:4], words))
		case len(words) > 0 && words[0] == "filter":
			flow = cmp.Or(after(words, "*flowid"), after(words, "flowid"))
		case len(words) > 1 && words[0] == "match": // 0af40103/ffffffff at 16
			bits, _, _ := strings.Cut(words[1], "/")
			all = append(all, filterRule(address(bits), flow))
		}
	}
	return all
}

func queueRule(kind, handle string, under, words []string) rule {
	delay, _ := time.ParseDuration(after(words, "delay")) // not all have one
	return rule{kind + " " + handle + " " + strings.Join(under, " "), delay}
}

func filterRule(to, class string) rule {
	return rule{words: strings.TrimSuffix(to, "/32") + " to " + class}
}

// after returns the word after another one, if there is one.
func after(words []string, word string) string {
	if at := slices.Index(words, word); at >= 0 && at+1 < len(words) {
		return words[at+1]
	}
	return ""
}

// address reads an address as tc prints it: by its bits.
func address(bits string) string {
	raw, _ := hex.DecodeString(bits)
	ip, _ := netip.AddrFromSlice(raw)
	return ip.String()
}

// The time in which a first packet that is dropped makes the proof a better one.
const (
	hitMax   = time.Second
	hitEvery = 100 * time.Millisecond
)

// see says what the kernel shows of a trouble, whose rules were seen to be there.
func (n *network) see(
	ctx context.Context, action scenarios.Action, pods []podAddress,
) (string, error) {
	_, others := sides(action, pods)
	named, rest := strings.Join(action.Pods, ", "), count(len(others), "other pod")
	if len(others) == 0 {
		return "", fmt.Errorf("%w: those that %s would send something to", errNoAddress, named)
	}
	var seen []string
	if delay := action.Network.Delay; delay > 0 {
		seen = append(seen, fmt.Sprintf("tc shows a delay of %s on what %s send to %s", delay,
			named, rest))
	}
	if verdictOf(action.Network) != "" {
		packets, err := n.drops(ctx, action.Fault)
		if err != nil {
			return "", err
		}
		what := "every packet"
		if !action.Network.Cut {
			what = fmt.Sprintf("%.4g %% of the packets", 100*action.Network.Loss)
		}
		so := fmt.Sprintf("%d so far", packets)
		if packets == 0 {
			so = "by rules that are there and have met none so far"
		}
		seen = append(seen, fmt.Sprintf("nftables drops %s between %s and %s, %s", what, named,
			rest, so))
	}
	return strings.Join(seen, "; "), nil
}

// drops returns how many packets a fault's rules have dropped, once there are some or after hitMax.
func (n *network) drops(ctx context.Context, fault int) (packets int, err error) {
	err = until(ctx, "see a packet dropped", hitEvery, hitMax,
		func(ctx context.Context) (bool, error) {
			packets, err = n.countDrops(ctx, fault)
			return packets > 0, err
		})
	if errors.Is(err, errLate) {
		return n.countDrops(ctx, fault)
	}
	return packets, err
}

// countDrops adds up what the counters of a fault's rules have counted in all nodes that have any.
func (n *network) countDrops(ctx context.Context, fault int) (int, error) {
	packets := 0
	for worker := range n.nodes() {
		if n.applied[place{node: worker.String()}] == "" {
			continue
		}
		table, err := worker.sh(ctx, showTable, tableName)
		if err != nil {
			return 0, err
		}
		packets += dropped(table, fault)
	}
	return packets, nil
}

// dropped adds up what the counters of a fault's rules in a table have counted.
func dropped(table string, fault int) int {
	total := 0
	for line := range strings.Lines(table) {
		if strings.Contains(line, `comment "`+markOf(fault)) {
			packets, _ := strconv.Atoi(after(strings.Fields(line), "packets"))
			total += packets
		}
	}
	return total
}
