package kind

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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

// marked is a rule of fault 0 as nft is told it.
func marked(rule string) string {
	return "\t\t" + rule + " comment \"" + mark(0, rule) + "\"\n"
}

// Each packet is dropped where its sender is, so that one between two nodes is lost once.
func TestRulesetOfANode(t *testing.T) {
	t.Parallel()
	const begin = "table inet certquake {\n\tchain forward {\n" +
		"\t\ttype filter hook forward priority -150; policy accept;\n"
	cut := trouble(scenarios.NetworkTrouble{Cut: true}, "mesh-0")
	lossy := trouble(scenarios.NetworkTrouble{Loss: 0.05}, "mesh-0", "mesh-1")
	for name, test := range map[string]struct {
		troubles []scenarios.Action
		node     string
		want     string
	}{
		"nothing": {nil, "worker", ""},
		"delay is none of its business": {
			[]scenarios.Action{trouble(scenarios.NetworkTrouble{Delay: time.Second}, "mesh-0")},
			"worker", "",
		},
		"the named pod's node drops what either side sends from there": {
			[]scenarios.Action{cut}, "worker", begin +
				marked("ip saddr { 10.244.1.2 } ip daddr { 10.244.1.3, 10.244.2.2, 10.244.2.3 } "+
					"counter drop") +
				marked("ip saddr { 10.244.1.3 } ip daddr { 10.244.1.2 } counter drop") +
				"\t}\n}\n",
		},
		"another node drops what is sent to the named pod": {
			[]scenarios.Action{cut}, "worker2", begin +
				marked("ip saddr { 10.244.2.2, 10.244.2.3 } ip daddr { 10.244.1.2 } counter drop") +
				"\t}\n}\n",
		},
		"named pods hear each other": {
			[]scenarios.Action{lossy}, "worker2", begin +
				marked("ip saddr { 10.244.2.2 } ip daddr { 10.244.1.3, 10.244.2.3 } "+
					"numgen random mod 1000000 < 50000 counter drop") +
				marked("ip saddr { 10.244.2.3 } ip daddr { 10.244.1.2, 10.244.2.2 } "+
					"numgen random mod 1000000 < 50000 counter drop") +
				"\t}\n}\n",
		},
		"a node without any of the pods": {[]scenarios.Action{cut}, "worker3", ""},
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

// The outputs are those of nft 1.0.6 and tc 6.1.0; tc's netem is of its manual.
func TestRulesAreKnownAgain(t *testing.T) {
	t.Parallel()
	const shown = `table inet certquake {
	chain forward {
		type filter hook forward priority mangle; policy accept;
		ip saddr 10.244.1.2 ip daddr { 10.244.1.3, 10.244.2.2 } numgen random mod 1000000 ` +
		`< 50000 counter packets 12 bytes 720 drop comment "fault 1 aabbccdd"
		ip saddr 10.244.1.3 ip daddr 10.244.1.2 counter packets 7 bytes 420 drop ` +
		`comment "fault 12 00bbccdd"
	}
}
`
	assert.Equal(t, []rule{{words: "fault 1 aabbccdd"}, {words: "fault 12 00bbccdd"}}, marks(shown))
	assert.Equal(t, 12, dropped(shown, 1))
	assert.Equal(t, 7, dropped(shown, 12))
	assert.Equal(t, 0, dropped(shown, 2))
	lossy := trouble(scenarios.NetworkTrouble{Loss: 0.05}, "mesh-0")
	moved := pods()
	moved[1].ip = "10.244.2.9"
	now := marks(ruleset([]scenarios.Action{lossy}, pods(), "worker"))
	assert.Len(t, now, 2)
	require.NoError(t, compare("nft", now, now))
	require.ErrorIs(t, compare("nft", now, now[:1]), errUnseen)
	require.ErrorIs(t, compare("nft", now[:1], now), errUnseen)
	assert.Equal(t, now[:1],
		without(now, marks(ruleset([]scenarios.Action{lossy}, moved, "worker"))),
		"a rule of the same fault, but of other addresses, is another rule")
}

func TestQueuesAreKnownAgain(t *testing.T) {
	t.Parallel()
	slow := trouble(scenarios.NetworkTrouble{Delay: 1666 * time.Microsecond}, "mesh-0", "mesh-1")
	want := toldQueues(queues([]scenarios.Action{slow}, pods(), pods()[0], netem))
	shown := func(delay string) []rule {
		return shownQueues(`qdisc htb 1: root refcnt 3 r2q 10 default 0x1 direct_qlen 1000
qdisc netem 2: parent 1:2 limit 100000 delay ` + delay + ` seed 11386401599413554931
filter protocol ip pref 1 u32 chain 0 
filter protocol ip pref 1 u32 chain 0 fh 800: ht divisor 1 
filter protocol ip pref 1 u32 chain 0 fh 800::800 order 2048 key ht 800 bkt 0 *flowid 1:2 not_in_hw 
  match 0af40103/ffffffff at 16
filter protocol ip pref 1 u32 chain 0 fh 800::801 order 2049 key ht 800 bkt 0 flowid 1:2
  match 0af40203/ffffffff at 16
`)
	}
	require.NoError(t, compare("tc", want, shown("1.67ms")))
	require.NoError(t, compare("tc", want, shown("1.666ms")))
	err := compare("tc", want, shown("1.7ms"))
	require.ErrorIs(t, err, errUnseen)
	require.ErrorContains(t, err, "tc lacks [netem 2: parent 1:2, delay 1.666ms]")
	require.ErrorContains(t, compare("tc", want, shown("1.67ms")[:3]), "lacks [10.244.2.3 to 1:2]")
	none := shownQueues("qdisc noqueue 0: root refcnt 2 \n")
	require.ErrorContains(t, compare("tc", want, none), "htb 1: root")
	require.NoError(t, compare("tc", nil, none))
	require.ErrorContains(t, compare("tc", nil, want), "still has")
}
