package kind

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/certquake/certquake/scenarios"
)

// pods are two on each of two nodes.
func pods() []podAddress {
	return []podAddress{
		{"mesh-0", "worker", "u0", "10.244.1.2"},
		{"mesh-1", "worker2", "u1", "10.244.2.2"},
		{"mesh-2", "worker", "u2", "10.244.1.3"},
		{"mesh-3", "worker2", "u3", "10.244.2.3"},
	}
}

func trouble(network scenarios.NetworkTrouble, names ...string) scenarios.Action {
	return scenarios.Action{Verb: scenarios.DisturbNetwork, Network: &network, Pods: names}
}

const noTable = "table inet certquake {}\ndelete table inet certquake\n"

// Each packet is dropped where its sender is, so that one between two nodes is lost once.
func TestRulesetOfANode(t *testing.T) {
	t.Parallel()
	const begin = noTable + "table inet certquake {\n\tchain forward {\n" +
		"\t\ttype filter hook forward priority -150; policy accept;\n"
	cut := trouble(scenarios.NetworkTrouble{Cut: true}, "mesh-0")
	lossy := trouble(scenarios.NetworkTrouble{Loss: 0.05}, "mesh-0", "mesh-1")
	for name, test := range map[string]struct {
		troubles []scenarios.Action
		node     string
		want     string
	}{
		"nothing": {nil, "worker", noTable},
		"delay is none of its business": {
			[]scenarios.Action{trouble(scenarios.NetworkTrouble{Delay: time.Second}, "mesh-0")},
			"worker", noTable,
		},
		"the named pod's node drops what either side sends from there": {
			[]scenarios.Action{cut}, "worker", begin +
				"\t\tip saddr { 10.244.1.2 } ip daddr { 10.244.1.3, 10.244.2.2, 10.244.2.3 } " +
				"counter drop\n" +
				"\t\tip saddr { 10.244.1.3 } ip daddr { 10.244.1.2 } counter drop\n\t}\n}\n",
		},
		"another node drops what is sent to the named pod": {
			[]scenarios.Action{cut}, "worker2", begin +
				"\t\tip saddr { 10.244.2.2, 10.244.2.3 } ip daddr { 10.244.1.2 } counter drop\n" +
				"\t}\n}\n",
		},
		"named pods hear each other": {
			[]scenarios.Action{lossy}, "worker2", begin +
				"\t\tip saddr { 10.244.2.2 } ip daddr { 10.244.1.3, 10.244.2.3 } " +
				"numgen random mod 1000000 < 50000 counter drop\n" +
				"\t\tip saddr { 10.244.2.3 } ip daddr { 10.244.1.2, 10.244.2.2 } " +
				"numgen random mod 1000000 < 50000 counter drop\n\t}\n}\n",
		},
		"a node without any of the pods": {[]scenarios.Action{cut}, "worker3", noTable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, test.want, ruleset(test.troubles, pods(), test.node))
		})
	}
}

func TestQueuesOfAPod(t *testing.T) {
	t.Parallel()
	slow := trouble(scenarios.NetworkTrouble{Delay: 50 * time.Millisecond}, "mesh-0", "mesh-1")
	alone := trouble(scenarios.NetworkTrouble{Delay: 20 * time.Millisecond}, "mesh-0")
	const begin = "qdisc add dev eth0 root handle 1: htb default 1\n" +
		"class add dev eth0 parent 1: classid 1:1 htb rate 100gbit quantum 60000\n"
	named, other := pods()[0], pods()[2]
	assert.Empty(t, queues([]scenarios.Action{slow}, pods(), other, netem),
		"only what the named pods send is delayed")
	assert.Empty(t, queues([]scenarios.Action{
		trouble(scenarios.NetworkTrouble{Cut: true}, "mesh-0"),
	}, pods(), named, netem))
	assert.Equal(t, begin+
		"class add dev eth0 parent 1: classid 1:2 htb rate 100gbit quantum 60000\n"+
		"qdisc add dev eth0 parent 1:2 handle 2: netem delay 50000us limit 100000\n"+
		"filter add dev eth0 parent 1: protocol ip prio 1 u32 match ip dst 10.244.1.3/32 "+
		"flowid 1:2\n"+
		"filter add dev eth0 parent 1: protocol ip prio 1 u32 match ip dst 10.244.2.3/32 "+
		"flowid 1:2\n",
		queues([]scenarios.Action{slow}, pods(), named, netem))
	both := queues([]scenarios.Action{slow, alone}, pods(), named, netem)
	assert.Contains(t, both, "parent 1:2 handle 2: netem delay 20000us")
	assert.Contains(t, both, "parent 1:3 handle 3: netem delay 70000us")
	assert.Contains(t, both, "match ip dst 10.244.2.2/32 flowid 1:2\n")
	assert.Contains(t, both, "match ip dst 10.244.2.3/32 flowid 1:3\n")
}

func TestDroppedAddsUpCounters(t *testing.T) {
	t.Parallel()
	assert.Equal(t, 0, dropped("table inet certquake {\n}\n"))
	assert.Equal(t, 19, dropped("ip saddr 1 counter packets 12 bytes 720 drop\n"+
		"ip saddr 2 counter packets 7 bytes 420 drop\n"))
}
