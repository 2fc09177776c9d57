package scenarios_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/scenarios"
)

// storePlan returns the plan of testdata/stores.yaml after edits.
func storePlan(t *testing.T, seed uint64, edits ...string) scenarios.Plan {
	t.Helper()
	text := strings.NewReplacer(edits...).Replace(testdata(t, "stores.yaml"))
	s, err := scenarios.Parse("stores.yaml", []byte(text), nil, nil)
	require.NoError(t, err)
	plan, err := s.Plan(seed)
	require.NoError(t, err)
	return plan
}

func TestStorePlanGolden(t *testing.T) {
	t.Parallel()
	plan := storePlan(t, 7)
	data, err := plan.JSON()
	require.NoError(t, err)
	golden(t, "stores.golden.json", string(data))
	var table bytes.Buffer
	require.NoError(t, plan.Table(&table))
	golden(t, "stores.golden.txt", table.String())
	var back scenarios.Plan
	require.NoError(t, json.Unmarshal(data, &back))
	assert.Equal(t, plan.Stores, back.Stores)
	assert.Equal(t, plan.Streams, back.Streams)
	assert.Equal(t, plan.Digest(), back.Digest())
}

func TestStorePlan(t *testing.T) {
	t.Parallel()
	plan := storePlan(t, 1)
	require.Len(t, plan.Consumers(), 2)
	vault, box := plan.StoreOf("vault"), plan.StoreOf("box")
	assert.Equal(t, scenarios.Consumer{
		Workload: "vault", Namespace: "default", Secret: "default/data", Policy: "lazy-ttl",
		Every: 90 * time.Second, KeepLastGood: true, Pinned: true,
	}, vault.Consumer)
	assert.Equal(t, "start-up", box.Policy)
	assert.Equal(t, "shop/plain", box.Secret)
	assert.Equal(t, 10_000, box.Records, "the default")
	assert.True(t, plan.Migrates(vault))
	assert.False(t, plan.Migrates(box))
	assert.Nil(t, plan.StoreOf("nobody"))
	assert.Equal(t, 106300*time.Millisecond, plan.BoundOf("vault"), "1.5 x 10s, 1.3s and 90s")
	assert.Empty(t, plan.Targets(plan.Streams[0]))
}

// Reads and writes draw by what they do, wherever they stand in the file.
func TestStoreStreamsAreIndependent(t *testing.T) {
	t.Parallel()
	plan := storePlan(t, 5)
	without := storePlan(t, 5, "    - {workload: vault, reads: {rate: 50/s}}\n", "",
		"reads: {rate: 1/s}", "reads: {rate: 50/s}")
	assert.Equal(t, plan.Streams[0], without.Streams[2], "the first of the reads")
	assert.Equal(t, plan.Streams[2], without.Streams[0], "the writes")
	assert.NotEqual(t, plan.Streams[0].First, plan.Streams[2].First)
	assert.NotEqual(t, plan.Streams[0].First, plan.Streams[4].First)
}

func TestFasterStores(t *testing.T) {
	t.Parallel()
	plan := storePlan(t, 1)
	fast, err := plan.Faster(10)
	require.NoError(t, err)
	assert.Equal(t, 9*time.Second, fast.StoreOf("vault").Every)
	assert.Equal(t, 90*time.Second, plan.StoreOf("vault").Every, "the plan is left as it is")
	assert.Equal(t, 500, fast.StoreOf("vault").Records)
	assert.Equal(t, plan.Streams, fast.Streams, "a second sees the same load")
}
