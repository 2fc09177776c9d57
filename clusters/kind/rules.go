package kind

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/certquake/certquake/scenarios"
)

// podAddress is where one pod of the plan is now.
type podAddress struct {
	pod  string // the planned one
	node string // its name in the cluster
	uid  string
	ip   string
}

// tableName is of the nftables table with what is dropped in a node. Nothing else is in it.
const tableName = "certquake"

// noTable is what nft is told ahead of a table, or instead of one. A table that is not there cannot
// be deleted: it is made first.
const noTable = "table inet " + tableName + " {}\ndelete table inet " + tableName + "\n"

// lossParts is how finely a share of packets is told.
const lossParts = 1_000_000

// ruleset returns the table of one node, which replaces the one before at once, or nothing if the
// node is left alone. A packet between pods passes the forward hook of its sender's node and of its
// receiver's; only the sender's has a rule for it, so that it is lost with the probability that was
// asked for and not twice. What kubelets and the API server send comes from no pod and is in no
// rule.
func ruleset(troubles []scenarios.Action, pods []podAddress, node string) string {
	var rules strings.Builder
	for _, trouble := range troubles {
		verdict := verdictOf(trouble.Network)
		if verdict == "" {
			continue
		}
		named, others := sides(trouble, pods)
		for _, way := range [][2][]podAddress{{named, others}, {others, named}} {
			from, to := addresses(on(node, way[0])), addresses(way[1])
			if from == "" || to == "" {
				continue
			}
			rule := fmt.Sprintf("ip saddr { %s } ip daddr { %s } %s", from, to, verdict)
			fmt.Fprintf(&rules, "\t\t%s comment %q\n", rule, mark(trouble.Fault, rule))
		}
	}
	if rules.Len() == 0 {
		return ""
	}
	return "table inet " + tableName + " {\n\tchain forward {\n" +
		"\t\ttype filter hook forward priority -150; policy accept;\n" +
		rules.String() + "\t}\n}\n"
}

// mark is a comment by which a rule is known again, however nft prints the rule itself.
func mark(fault int, rule string) string {
	return fmt.Sprintf("%s%08x", markOf(fault), crc32.ChecksumIEEE([]byte(rule)))
}

// markOf begins the marks of a fault.
func markOf(fault int) string { return fmt.Sprintf("fault %d ", fault) }

// verdictOf returns what becomes of a packet, nothing if it is left alone.
func verdictOf(network *scenarios.NetworkTrouble) string {
	switch {
	case network.Cut:
		return "counter drop"
	case network.Loss > 0:
		return fmt.Sprintf("numgen random mod %d < %d counter drop", lossParts,
			int(network.Loss*lossParts+0.5))
	}
	return ""
}

// sides splits the pods into those that a trouble names, and the others.
func sides(trouble scenarios.Action, pods []podAddress) (named, others []podAddress) {
	for _, pod := range pods {
		if slices.Contains(trouble.Pods, pod.pod) {
			named = append(named, pod)
		} else {
			others = append(others, pod)
		}
	}
	return named, others
}

// on returns the pods that are on a node.
func on(node string, pods []podAddress) []podAddress {
	var found []podAddress
	for _, pod := range pods {
		if pod.node == node {
			found = append(found, pod)
		}
	}
	return found
}

func addresses(pods []podAddress) string {
	ips := make([]string, len(pods))
	for i, pod := range pods {
		ips[i] = pod.ip
	}
	slices.Sort(ips)
	return strings.Join(ips, ", ")
}

// leaf returns the queue, as tc names it, that delays packets.
type leaf func(delay time.Duration) string

// netem is the kernel's own. Its limit is more packets than any pod has under way.
func netem(delay time.Duration) string {
	return fmt.Sprintf("netem delay %dus limit 100000", delay.Microseconds())
}

// device is what containers' networks are reached by.
const device = "eth0"

// queues returns what tc is told in the network of one pod, nothing if it is left alone: a class
// for each delay that some of the others are behind, and a filter for each of those.
func queues(
	troubles []scenarios.Action, pods []podAddress, pod podAddress, queue leaf,
) string {
	behind := map[string]time.Duration{} // by address
	for _, trouble := range troubles {
		if trouble.Network.Delay <= 0 || !slices.Contains(trouble.Pods, pod.pod) {
			continue
		}
		_, others := sides(trouble, pods)
		for _, other := range others {
			behind[other.ip] += trouble.Network.Delay
		}
	}
	if len(behind) == 0 {
		return ""
	}
	class := map[time.Duration]int{}
	for _, delay := range slices.Sorted(maps.Values(behind)) {
		if class[delay] == 0 {
			class[delay] = len(class) + 2 // 1 is of what is not delayed
		}
	}
	var out strings.Builder
	const speed = "htb rate 100gbit quantum 60000\n" // as fast as ever
	fmt.Fprintf(&out, "qdisc add dev %s root handle 1: htb default 1\n", device)
	fmt.Fprintf(&out, "class add dev %s parent 1: classid 1:1 %s", device, speed)
	delays := slices.SortedFunc(maps.Keys(class), cmp.Compare)
	for _, delay := range delays {
		fmt.Fprintf(&out, "class add dev %s parent 1: classid 1:%x %s", device, class[delay], speed)
		fmt.Fprintf(&out, "qdisc add dev %s parent 1:%x handle %x: %s\n", device, class[delay],
			class[delay], queue(delay))
	}
	for _, ip := range slices.Sorted(maps.Keys(behind)) {
		fmt.Fprintf(&out, "filter add dev %s parent 1: protocol ip prio 1 u32 match ip dst %s/32 "+
			"flowid 1:%x\n", device, ip, class[behind[ip]])
	}
	return out.String()
}
