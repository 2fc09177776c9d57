package sim_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/harness/sim"
	"github.com/certquake/certquake/scenarios"
)

// vaults is a scenario of data at rest.
const vaults = `
apiVersion: certquake.dev/v1alpha1
kind: Scenario
metadata: {name: vaults}
spec:
  why: Tests say.
  nodes:
    - {name: one, kubelet: {syncFrequency: 10s}}
    - {name: two, kubelet: {syncFrequency: 60s}}
  manifests:
    - apiVersion: certquake.dev/v1alpha1
      kind: RotatingSecret
      metadata: {name: data}
      spec: {promoteAfter: PROMOTE, retireAfter: RETIRE, SPEC}
  workloads:
    - {name: vault, sealedStore: {replicas: 3, secret: data, records: RECORDS, STORE}}
  load:
    - {workload: vault, reads: {rate: READS}}
    - {workload: vault, writes: {rate: WRITES}}
  faults:
    FAULTS
  horizon: HORIZON
`

// vault is what a test changes of it.
type vault struct {
	promote, retire, spec   string
	records                 int
	store, reads, writes    string
	faults                  []string
	seed                    uint64
	horizon                 string
	readsAlone, writesAlone bool
}

// rotateData is the fault that orders a rotation.
const rotateData = "at: 10m, rotateKeys: {secret: data}"

// migrated is a rotation with a migration and waits that are long enough; skipped is one without.
func migrated() vault {
	return vault{
		promote: "10m", retire: "15m", spec: "migration: {}", records: 1000, store: "",
		reads: "20/s", writes: "1/s", faults: []string{rotateData}, horizon: "1h",
	}
}

func skipped() vault {
	v := migrated()
	v.spec = ""
	return v
}

func (v vault) plan(tb testing.TB) scenarios.Plan {
	tb.Helper()
	text := strings.NewReplacer(
		"PROMOTE", v.promote, "RETIRE", v.retire, "SPEC", v.spec, "STORE", v.store,
		"RECORDS", strconv.Itoa(v.records), "READS", v.reads, "WRITES", v.writes,
		"FAULTS", "- {"+strings.Join(v.faults, "}\n    - {")+"}", "HORIZON", v.horizon,
	).Replace(vaults)
	if len(v.faults) == 0 {
		text = strings.Replace(text, "  faults:\n    - {}\n", "", 1)
	}
	if v.readsAlone {
		text = strings.Replace(text,
			"    - {workload: vault, writes: {rate: "+v.writes+"}}\n", "", 1)
	}
	if v.writesAlone {
		text = strings.Replace(text,
			"    - {workload: vault, reads: {rate: "+v.reads+"}}\n", "", 1)
	}
	parsed, err := scenarios.Parse("vaults.yaml", []byte(text), nil, nil)
	require.NoError(tb, err, "%s", text)
	plan, err := parsed.Plan(v.seed)
	require.NoError(tb, err)
	return plan
}

// of returns the rows of a kind, and of one pod unless that is "".
func (r rows) of(kind record.Kind, source string) (some rows) {
	for _, row := range r {
		if row.Kind == kind && (source == "" || row.Source == source) {
			some = append(some, row)
		}
	}
	return some
}

// fates adds up how attempts of a kind ended, those of one pod unless that is "".
func (r rows) fates(kind record.Kind, source string) tally {
	out := tally{}
	for _, row := range r.of(kind, source) {
		out[row.Outcome] += row.Count
	}
	return out
}

// tally is counts by outcome.
type tally = map[record.Outcome]int64

// using returns when the pod took a ring into use of which r2 is primary.
func (r rows) using(tb testing.TB, pod, trust string) time.Duration {
	tb.Helper()
	for _, row := range r.of(record.Reload, pod) {
		if row.Own.Leaf == "data/r2" && row.Own.Trust == trust {
			return row.To
		}
	}
	require.Fail(tb, "the pod never had the ring", "%s: %s", pod, trust)
	return 0
}

// streamOf returns the pod's stream of the operation.
func streamOf(plan scenarios.Plan, pod string, op scenarios.Op) scenarios.Stream {
	i := slices.IndexFunc(plan.Streams, func(s scenarios.Stream) bool {
		return s.Source == pod && s.Op == op
	})
	return plan.Streams[i]
}

// between counts the attempts of a stream in [from, to).
func between(plan scenarios.Plan, s scenarios.Stream, from, to time.Duration) int64 {
	return plan.Attempts(s, to) - plan.Attempts(s, from)
}

func TestMigratedDataIsHarmless(t *testing.T) {
	plan := migrated().plan(t)
	got := perform(t, plan)
	assert.Equal(t, tally{record.OK: 3 * 20 * 3600}, got.fates(record.Read, ""))
	assert.Equal(t, tally{record.OK: 3 * 3600}, got.fates(record.Seal, ""))
	assert.Equal(t, []string{
		"0.00 r1*", "600.05 r1* r2", "1200.05 r1 r2*", "2100.05 r2*",
	}, got.written())
	for _, pod := range plan.Pods {
		moves := got.of(record.Migrate, pod.Name)
		require.Len(t, moves, 1)
		move := moves[0]
		assert.Equal(t, record.OK, move.Outcome)
		assert.Equal(t, "r1 > r2", move.Detail)
		assert.Equal(t, record.Generation{Leaf: "data/r2", Trust: "data/r1+data/r2"}, *move.Own)
		writes := streamOf(plan, pod.Name, scenarios.Writes)
		since := got.using(t, pod.Name, "data/r1+data/r2")
		assert.Equal(t, 1000-between(plan, writes, since, move.To), move.Count,
			"what the writers had not rewritten")
		// A wait of promoteAfter from the promotion, then 45,000 records in a second.
		left := 1000 - between(plan, writes, since, 30*time.Minute+50*time.Millisecond)
		assert.Equal(t, 30*time.Minute+50*time.Millisecond, move.From)
		assert.Equal(t, time.Duration(left)*(time.Second/45_000), move.To-move.From)
		stored := got.of(record.Stored, pod.Name)
		require.Len(t, stored, 1)
		assert.Equal(t, "data/r2", stored[0].Own.Leaf)
		assert.Equal(t, tally{record.OK: 1000}, got.fates(record.Stored, pod.Name))
	}
}

// Without a migration everything that was not written anew meanwhile is lost.
func TestSkippedMigration(t *testing.T) {
	for _, seed := range []uint64{0, 1, 2} {
		v := skipped()
		v.seed, v.records = seed, 5000
		plan := v.plan(t)
		got := perform(t, plan)
		assert.Empty(t, got.of(record.Migrate, ""))
		for _, pod := range plan.Pods {
			since := got.using(t, pod.Name, "data/r1+data/r2")
			writes := streamOf(plan, pod.Name, scenarios.Writes)
			rewritten := between(plan, writes, since, time.Hour)
			stored := got.of(record.Stored, pod.Name)
			assert.Equal(t, tally{
				record.OK: rewritten, record.UnknownKid: 5000 - rewritten,
			}, got.fates(record.Stored, pod.Name))
			assert.Equal(t, "data/r1", stored[0].Own.Leaf)
			assert.Equal(t, record.UnknownKid, stored[0].Outcome)
			for _, row := range got.of(record.Read, pod.Name) {
				if row.Outcome == record.OK {
					continue
				}
				assert.Equal(t, record.Generation{Leaf: "data/r2", Trust: "data/r2"}, *row.Own)
				assert.Equal(t, record.Generation{Leaf: "data/r1"}, *row.Other)
				assert.GreaterOrEqual(t, row.From,
					got.using(t, pod.Name, "data/r2"))
			}
		}
		assert.Positive(t, got.fates(record.Read, "")[record.UnknownKid])
	}
}

// Reads over all records again and again find each lost one once in each round.
func TestReadsOfUnchangedRecords(t *testing.T) {
	v := skipped()
	v.readsAlone, v.reads, v.records, v.horizon = true, "100/s", 1000, "3h"
	plan := v.plan(t)
	got := perform(t, plan)
	for _, pod := range plan.Pods {
		dropped := got.using(t, pod.Name, "data/r2")
		reads := streamOf(plan, pod.Name, scenarios.Reads)
		assert.Equal(t, tally{
			record.OK:         between(plan, reads, 0, dropped),
			record.UnknownKid: between(plan, reads, dropped, 3*time.Hour),
		}, got.fates(record.Read, pod.Name), "nobody wrote, so nothing can be read")
	}
}

// A process that starts with a ring that is none can neither read nor write.
func TestStoreWithoutKeys(t *testing.T) {
	v := migrated()
	v.faults = []string{
		"at: 10m, spoilKeys: {secret: data, how: no-primary, for: 10m}",
		"at: 15m, restart: {workload: vault, podNames: [vault-0], downtime: 10s}",
	}
	plan := v.plan(t)
	got := perform(t, plan)
	reloads := got.of(record.Reload, "vault-0")
	back := reloads[len(reloads)-1].To
	require.Equal(t, record.OK, reloads[len(reloads)-1].Outcome)
	up := got.of(record.Up, "vault-0")[0].To
	for op, c := range map[scenarios.Op]struct {
		kind    record.Kind
		outcome record.Outcome
	}{
		scenarios.Reads:  {record.Read, record.NoKeys},
		scenarios.Writes: {record.Seal, record.NoPrimary},
	} {
		s := streamOf(plan, "vault-0", op)
		down := between(plan, s, 15*time.Minute, up)
		broken := between(plan, s, up, back)
		assert.Equal(t, tally{
			record.OK: plan.Attempts(s, time.Hour) - down - broken, record.Skipped: down,
			c.outcome: broken,
		}, got.fates(c.kind, "vault-0"))
	}
	assert.Equal(t, []record.Outcome{record.OK}, outcomes(got.of(record.Read, "vault-1")))
}

func outcomes(r rows) (all []record.Outcome) {
	for _, row := range r {
		all = append(all, row.Outcome)
	}
	return all
}

// A pod that is down in the end is judged by the keys that its next process would have.
func TestStoreOfAPodThatIsDown(t *testing.T) {
	v := skipped()
	v.writesAlone = true
	v.faults = append(v.faults,
		"at: 30m, restart: {workload: vault, podNames: [vault-2], downtime: 1h}")
	plan := v.plan(t)
	got := perform(t, plan)
	stored := got.of(record.Stored, "vault-2")
	require.Len(t, stored, 2)
	writes := streamOf(plan, "vault-2", scenarios.Writes)
	since := got.using(t, "vault-2", "data/r1+data/r2")
	rewritten := between(plan, writes, since, 30*time.Minute)
	assert.Equal(t, tally{
		record.UnknownKid: 1000 - rewritten, record.OK: rewritten,
	}, got.fates(record.Stored, "vault-2"))
	assert.Equal(t, tally{record.OK: 1800, record.Skipped: 1800},
		got.fates(record.Seal, "vault-2"))
}

// What a killed process did is done, though the last of it was not told.
func TestKilledStore(t *testing.T) {
	v := skipped()
	v.writesAlone, v.writes = true, "10/s"
	v.records, v.promote = 1_000_000, "1m"
	v.faults = append(v.faults,
		"at: 20m, restart: {workload: vault, podNames: [vault-0], mode: kill}")
	plan := v.plan(t)
	got := perform(t, plan)
	writes := streamOf(plan, "vault-0", scenarios.Writes)
	told := got.fates(record.Seal, "vault-0")
	lost := 36000 - told[record.OK] - told[record.Skipped]
	assert.Positive(t, lost)
	assert.LessOrEqual(t, lost, int64(10), "a second of writes")
	since := got.using(t, "vault-0", "data/r1+data/r2")
	up := got.of(record.Up, "vault-0")[0].To
	did := between(plan, writes, since, 20*time.Minute) + between(plan, writes, up, time.Hour)
	assert.Equal(t, did, got.of(record.Stored, "vault-0")[1].Count)
}

// One new key in the place of all others takes everything at once.
func TestReplacedKeysOfAStore(t *testing.T) {
	v := migrated()
	v.readsAlone, v.faults = true, []string{"at: 10m, replaceKeys: {secret: data}"}
	got := perform(t, v.plan(t))
	assert.Equal(t, tally{record.UnknownKid: 3000}, got.fates(record.Stored, ""))

	v.faults = []string{"at: 10m, replaceKeys: {secret: data, rollbackAfter: 20m}"}
	got = perform(t, v.plan(t))
	assert.Equal(t, tally{record.OK: 3000}, got.fates(record.Stored, ""))
	assert.Positive(t, got.fates(record.Read, "")[record.UnknownKid])
}

func TestStoresOfTheSameSeedGiveTheSameBytes(t *testing.T) {
	write := func(seed uint64) []byte {
		v := skipped()
		v.seed = seed
		v.faults = append(v.faults, "at: 12m, restart: {workload: vault, pods: 2}",
			"at: 40m, restart: {workload: vault, pods: 1, mode: kill}")
		return recorded(t, v.plan(t))
	}
	first := write(7)
	assert.Greater(t, len(first), 5000)
	assert.Equal(t, first, write(7))
	assert.NotEqual(t, first, write(8))
}

// Everything that is remembered of records is the same when it is executed again.
func TestSealingsRepeat(t *testing.T) {
	v := skipped()
	v.spec, v.retire, v.promote = "every: 3m", "1m", "1m"
	var got rows
	backend := sim.New(sim.WithAudit(sim.Audit{Every: 1, Max: 1000}))
	require.NoError(t, harness.Run(t.Context(), v.plan(t), backend, &got, nil))
	assert.Positive(t, got.fates(record.Read, "")[record.UnknownKid])
}
