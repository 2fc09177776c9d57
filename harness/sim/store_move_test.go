package sim_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// A move waits for a pod that is down, and for one on a node that is late; the key stays so long.
func TestMigrationWaits(t *testing.T) {
	for fault, until := range map[string]time.Duration{
		"at: 25m, restart: {workload: vault, podNames: [vault-1], downtime: 20m}": 45 * time.Minute,
		"at: 15m, holdSync: {node: two, for: 25m}":                                40 * time.Minute,
	} {
		v := migrated()
		v.faults = append(v.faults, fault)
		got := perform(t, v.plan(t))
		moves := got.of(record.Migrate, "")
		require.Len(t, moves, 3)
		assert.Less(t, moves[0].To, 31*time.Minute, "the others do not wait")
		assert.GreaterOrEqual(t, moves[2].From, until)
		assert.Equal(t, "vault-1", moves[2].Source)
		retired := got.of(record.Write, "")[3]
		assert.Equal(t, "r2*", retired.Detail)
		assert.Greater(t, retired.To, moves[2].To)
		assert.Less(t, retired.To, moves[2].To+200*time.Millisecond)
		assert.Zero(t, got.fates(record.Read, "")[record.UnknownKid])
	}
}

// Who has nothing to do is moved all the same: the migration asks for the keys.
func TestMigrationOfIdleStores(t *testing.T) {
	v := migrated()
	v.readsAlone, v.reads, v.store = true, "1/h", "keyringTTL: 1s"
	got := perform(t, v.plan(t))
	assert.Equal(t, tally{record.OK: 3000}, got.fates(record.Migrate, ""))
	assert.Len(t, got.written(), 4)
}

// A program that reads its keys once cannot move its data, so nobody takes its key away.
func TestMigrationOfReadOnce(t *testing.T) {
	v := migrated()
	v.store = "readOnce: true"
	got := perform(t, v.plan(t))
	assert.Empty(t, got.of(record.Migrate, ""))
	assert.Equal(t, []string{"0.00 r1*", "600.05 r1* r2", "1200.05 r1 r2*"}, got.written())
	assert.Equal(t, tally{record.OK: 3 * 20 * 3600}, got.fates(record.Read, ""))
}

// A process that is killed in the middle leaves whole batches behind, and the next one goes on.
func TestMigrationInterrupted(t *testing.T) {
	v := migrated()
	v.records, v.readsAlone = 1_000_000, true
	at := 30*time.Minute + 10*time.Second
	v.faults = append(v.faults, // what changes nothing for the store interrupts nothing
		"at: 1805s, skewClock: {workload: vault, podNames: [vault-1, vault-2], by: 1s}",
		fmt.Sprintf("at: %s, restart: {workload: vault, podNames: [vault-2], mode: container, "+
			"downtime: 30s}", at))
	got := perform(t, v.plan(t))
	moves := got.of(record.Migrate, "")
	require.Len(t, moves, 3)
	perRecord := time.Second / 45_000
	assert.Equal(t, 1_000_000*perRecord, moves[0].To-moves[0].From)
	assert.Equal(t, 1_000_000*perRecord, moves[1].To-moves[1].From)
	assert.Equal(t, int64(1_000_000), moves[1].Count)
	batches := int64((at - moves[0].From) / (1000 * perRecord))
	assert.Equal(t, int64(447), batches)
	assert.Equal(t, "vault-2", moves[2].Source)
	assert.Equal(t, 1_000_000-1000*batches, moves[2].Count)
	assert.Equal(t, at+30*time.Second, moves[2].From)
	assert.Equal(t, tally{record.OK: 3_000_000}, got.fates(record.Stored, ""))
}

// A key that data was moved from is retired for good, so a rollback after the migration stops the
// writers, and the old key is not there to be moved to.
func TestRollbackAfterMigration(t *testing.T) {
	v := migrated()
	v.retire = "40m"
	v.faults = []string{"at: 10m, rotateKeys: {secret: data, rollbackAfter: 25m}"}
	plan := v.plan(t)
	got := perform(t, plan)
	assert.Equal(t, []string{
		"0.00 r1*", "600.05 r1* r2", "1200.05 r1 r2*", "2100.05 r1* r2",
	}, got.written())
	assert.Equal(t, tally{record.OK: 3 * 20 * 3600}, got.fates(record.Read, ""))
	for _, pod := range plan.Pods {
		var back time.Duration
		for _, row := range got.of(record.Reload, pod.Name) {
			if row.From > 35*time.Minute {
				back = row.To
			}
		}
		seals := got.of(record.Seal, pod.Name)
		refused := between(plan, streamOf(plan, pod.Name, scenarios.Writes), back, time.Hour)
		assert.Equal(t, tally{
			record.OK: 3600 - refused, record.NoPrimary: refused,
		}, got.fates(record.Seal, pod.Name))
		assert.Equal(t, "r1 is retired: the store takes no more under it", seals[1].Detail)
		moves := got.of(record.Migrate, pod.Name)
		require.Len(t, moves, 2)
		assert.Equal(t, record.NoPrimary, moves[1].Outcome)
		assert.Equal(t, "r2 > r1", moves[1].Detail)
		assert.Zero(t, moves[1].Count)
		assert.Equal(t, moves[1].From, moves[1].To, "at the first record")
	}
	assert.Equal(t, tally{record.OK: 3000}, got.fates(record.Stored, ""))
}
