//go:build e2e

package kind

import (
	"context"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/scenarios"
)

// refused does what cannot be done to all of the pods that are named: nothing of it stays.
func (tr *trial) refused(ctx context.Context) {
	disturb := tr.Performs[scenarios.DisturbNetwork]
	for _, network := range []scenarios.NetworkTrouble{
		{Cut: true}, {Delay: 20 * time.Millisecond},
	} {
		_, err := disturb(ctx, scenarios.Action{
			Verb: scenarios.DisturbNetwork, Fault: 9, Pods: []string{"a-0", "a-9"},
			Network: &network,
		})
		require.ErrorIs(tr.t, err, errNoAddress)
		require.ErrorContains(tr.t, err, "a-9")
	}
	tr.clean(ctx)
}

// clean asserts that no node has a rule, and no pod a queue.
func (tr *trial) clean(ctx context.Context) {
	tr.t.Helper()
	for _, node := range []string{"fast", "slow"} {
		assert.NotContains(tr.t, tr.in(ctx, node, "nft list tables inet"), tableName)
		assert.NotContains(tr.t, tr.in(ctx, node, `for net in /var/run/netns/*; do
	[ ! -e "$net" ] || nsenter --net="$net" tc qdisc show
done`), "htb")
	}
}
