package reports

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/reports/plots"
	"github.com/certquake/certquake/scenarios"
)

// newStoreScene is a small run of data at rest that tests change in one respect: vault-0 and
// vault-1 keep 100 records each under the keys of Secret jwt, read one a second and write one in
// ten, for an hour. The Secret is rotated from 10m on, and all is moved from 20m on. The bound is
// 26.3 s.
func newStoreScene() *scene {
	s := &scene{plan: scenarios.Plan{
		Scenario: "stores", Seed: 1, Horizon: time.Hour,
		Nodes: []scenarios.PlannedNode{{
			Name: "n", SyncFrequency: 10 * time.Second, ChangeDetection: scenarios.Watch,
		}},
		Stores: []scenarios.StoreGroup{{
			Consumer: scenarios.Consumer{
				Workload: "vault", Namespace: "default", Secret: "default/jwt",
				Policy: "lazy-ttl", Every: 10 * time.Second, KeepLastGood: true,
			},
			Records: 100,
		}},
		Pods: []scenarios.Pod{
			{Name: "vault-0", Workload: "vault", Node: "n"},
			{Name: "vault-1", Workload: "vault", Node: "n"},
		},
		Actions: []scenarios.Action{{
			ID: "rotateKeys[0]/rotate", At: publishAt, Verb: scenarios.RotateKeys,
			Note: "order a new key for default/jwt", Secrets: []string{"default/jwt"},
		}},
	}}
	s.rotating(`{"metadata": {"namespace": "default", "name": "jwt"},
		"spec": {"promoteAfter": "5m", "retireAfter": "20m", "migration": {}}}`)
	s.provedOf("rotateKeys[0]/rotate", publishAt)
	for _, pod := range s.plan.Pods {
		s.plan.Streams = append(s.plan.Streams,
			scenarios.Stream{Source: pod.Name, Op: scenarios.Reads, Every: time.Second},
			scenarios.Stream{Source: pod.Name, Op: scenarios.Writes, Every: 10 * time.Second})
		s.access(pod.Name, record.Read, 0, 3600, record.OK, "", "")
		s.access(pod.Name, record.Seal, 0, 360, record.OK, "", "")
		s.moved(pod.Name, 20*time.Minute, 70, record.OK, "r1 > r2")
		s.stored(pod.Name, 100, record.OK, "r2")
	}
	for _, step := range []struct {
		at   time.Duration
		keys string
	}{{0, "r1*"}, {publishAt, "r1* r2"}, {signAt, "r1 r2*"}, {dropAt, "r2*"}} {
		s.rings(step.at, step.keys)
		for _, pod := range s.plan.Pods {
			s.use(pod.Name, step.at, step.at+min(step.at, 20*time.Second), ring(step.keys))
		}
	}
	return s
}

// access adds attempts, one a second from the offset on.
func (s *scene) access(
	pod string, kind record.Kind, at time.Duration, n int64, outcome record.Outcome,
	had, under string,
) {
	row := record.Span{
		Kind: kind, From: at, To: at + time.Duration(n-1)*time.Second, Count: n, Source: pod,
		Outcome: outcome,
	}
	if outcome == record.OK {
		row.To = s.plan.Horizon - time.Second
	}
	if had != "" {
		row.Own = ring(had)
	}
	if under != "" {
		row.Other = &record.Generation{Leaf: "jwt/" + under}
	}
	s.add(row)
}

// refused makes n of the pod's accesses failures.
func (s *scene) refused(
	pod string, kind record.Kind, at time.Duration, n int64, outcome record.Outcome,
	had, under string,
) {
	for i := range s.rows {
		if row := &s.rows[i]; row.Kind == kind && row.Source == pod && row.Outcome == record.OK {
			row.Count -= n
		}
	}
	s.access(pod, kind, at, n, outcome, had, under)
}

func (s *scene) moved(
	pod string, at time.Duration, n int64, outcome record.Outcome, detail string,
) {
	s.add(record.Span{
		Kind: record.Migrate, From: at, To: at + 2*time.Second, Count: n, Source: pod,
		Outcome: outcome, Own: ring("r1 r2*"), Detail: detail,
	})
}

func (s *scene) stored(pod string, n int64, outcome record.Outcome, key string) {
	s.add(record.Span{
		Kind: record.Stored, From: s.plan.Horizon, To: s.plan.Horizon, Count: n, Source: pod,
		Outcome: outcome, Own: &record.Generation{Leaf: "jwt/" + key},
	})
}

// lossyScene is a rotation without a migration.
func lossyScene() *scene {
	s := newStoreScene()
	s.plan.Why = "The old key goes without a migration."
	s.plan.Expect = scenarios.Expect{Verdict: "fail", Because: "trust-gap"}
	s.plan.World.RotatingSecrets[0].Spec.Migration = nil
	s.without(func(row record.Span) bool {
		return row.Kind == record.Migrate || row.Kind == record.Stored
	})
	s.stored("vault-0", 60, record.UnknownKid, "r1")
	s.stored("vault-0", 40, record.OK, "r2")
	s.stored("vault-1", 25, record.UnknownKid, "r1")
	s.stored("vault-1", 75, record.OK, "r2")
	s.refused("vault-0", record.Read, 40*time.Minute, 600, record.UnknownKid, "r2*", "r1")
	s.refused("vault-1", record.Read, 41*time.Minute, 200, record.UnknownKid, "r2*", "r1")
	return s
}

func TestStoreFigures(t *testing.T) {
	assert.Equal(t, []Store{{
		Workload: "vault", Secret: "default/jwt", Records: 200,
		Keys:       []StoreKey{{"r2", 200, 0}},
		Migrations: []Migration{{"r1", "r2", 140, 2, 0, 2, 1200, 1202}},
	}}, newStoreScene().judge(t).Stores)

	s := newStoreScene()
	s.without(func(row record.Span) bool { return row.Kind == record.Migrate })
	s.moved("vault-0", 20*time.Minute, 70, record.OK, "r1 > r2")
	s.moved("vault-1", 21*time.Minute, 70, record.OK, "r1 > r2")
	s.rows[len(s.rows)-1].From = 19 * time.Minute
	assert.Equal(t, []Migration{{"r1", "r2", 140, 2, 0, 2, 1140, 1262}},
		s.judge(t).Stores[0].Migrations)

	s = lossyScene()
	s.refused("vault-1", record.Seal, 50*time.Minute, 7, record.NoPrimary, "r2*", "")
	s.moved("vault-1", 50*time.Minute, 3, record.NoPrimary, "r2 > r1")
	s.plan.Stores = append(s.plan.Stores, scenarios.StoreGroup{
		Consumer: scenarios.Consumer{Workload: "box", Secret: "default/jwt"}, Records: 5,
	})
	s.plan.Pods = append(s.plan.Pods, scenarios.Pod{Name: "box-0", Workload: "box", Node: "n"})
	stores := s.judge(t).Stores
	assert.Equal(t, Store{
		Workload: "vault", Secret: "default/jwt", Records: 200,
		Keys:       []StoreKey{{"r1", 85, 85}, {"r2", 115, 0}},
		Unreadable: 85, Refused: 800, Unsealed: 7,
		Migrations: []Migration{{"r2", "r1", 3, 0, 1, 2, 3000, 3002}},
	}, stores[0])
	assert.Equal(t, int64(5), stores[1].Unknown, "nothing was told of them")
	assert.Equal(t, "5 not known", stores[1].Under())
	assert.Equal(t, "0 of 2, 1 failed", stores[0].Migrations[0].Done())
	assert.Nil(t, newScene().judge(t).Stores)
}

func TestChecksOfStores(t *testing.T) {
	const first = "the first was vault-0 at 40m (unknown-kid: vault-0, which had jwt/r2, read a " +
		"record under jwt/r1)"
	for name, c := range map[string]struct {
		scene *scene
		want  map[scenarios.CheckID]string
	}{
		"all is moved": {newStoreScene(), map[scenarios.CheckID]string{
			scenarios.NewConnections: "none of 7,920 attempts failed for a credential reason",
			scenarios.Validity: "no certificate and no token was shown, so none was outside its " +
				"validity",
			scenarios.TrustGap:   "7,920 attempts, and each reader had the record's key",
			scenarios.TornPair:   "no workload has certificates, so none could have another's key",
			scenarios.Accounting: "7,920 scheduled = 7,920 ok + 0 failed + 0 skipped",
		}},
		"some is lost": {lossyScene(), map[scenarios.CheckID]string{
			scenarios.NewConnections: "✗ 800 of 7,920 attempts failed for a credential reason, " +
				"until 49m59s; " + first,
			scenarios.TrustGap: "✗ 800 attempts met a record whose key its reader did not have, " +
				"from 40m to 49m59s; " + first + "; 85 records cannot be read in the end",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			findings := map[scenarios.CheckID]Finding{}
			for _, f := range c.scene.judge(t).Findings {
				findings[f.ID] = f
			}
			for id, want := range c.want {
				got := findings[id].Reason
				if findings[id].Status == Fail {
					got = "✗ " + got
				}
				assert.Equal(t, want, got, id)
			}
		})
	}
}

// What is lost is lost, whether anybody has tried to read it or not.
func TestLossThatNobodyMet(t *testing.T) {
	s := newStoreScene()
	s.without(func(row record.Span) bool { return row.Kind == record.Stored })
	s.stored("vault-0", 3, record.UnknownKid, "r1")
	status, reason := checkTrustGap(s.analyse(t, false))
	assert.Equal(t, Fail, status)
	assert.Equal(t, "nobody met it, but 3 records cannot be read in the end: their pods do not "+
		"have the key", reason)
}

func TestDescribeAccesses(t *testing.T) {
	s := newStoreScene()
	s.refused("vault-0", record.Seal, 40*time.Minute, 1, record.NoPrimary, "r2*", "")
	s.refused("vault-0", record.Read, 41*time.Minute, 1, record.NoKeys, "", "")
	a := s.analyse(t, false)
	assert.Equal(t, "vault-0 at 40m (no-primary: vault-0 had no key that its store takes records "+
		"under)", a.describe(&a.failures[0]))
	assert.Equal(t, "vault-0 at 41m (no-keys: vault-0 had no keys that it could use)",
		a.describe(&a.failures[1]))
}

// A row of failed reads says how long a pod failed, and pods count where pairs do elsewhere.
func TestOutageOfStores(t *testing.T) {
	a := lossyScene().analyse(t, false)
	r, err := Judge(a)
	require.NoError(t, err)
	assert.Equal(t, Worst{At: 2460, Broken: 2, Pairs: 2}, r.Worst)
	assert.InDelta(t, 600, float64(r.Outage), 0)
	for _, d := range a.drawings() {
		assert.NotEqual(t, "matrix", d.name)
	}
	lanes := a.lanesPlot(plots.Window{To: time.Hour})
	assert.Equal(t, []string{"jwt: r1*", "jwt: r1* r2", "jwt: r1 r2*", "jwt: r2*"}, lanes.Keys)
}

// One failed read lasts until the next.
func TestOneRefusedRead(t *testing.T) {
	s := newStoreScene()
	s.refused("vault-0", record.Read, 40*time.Minute, 1, record.BadSignature, "r2*", "r1")
	a := s.analyse(t, false)
	require.Len(t, a.broken, 1)
	assert.Equal(t, stretch{40 * time.Minute, 40*time.Minute + time.Second}, a.broken[0].stretch)
	status, _ := checkTrustGap(a)
	assert.Equal(t, Fail, status)
	status, _ = checkTornPair(a)
	assert.Equal(t, Pass, status, "a record has no certificate")
}

// The picture of outcomes shows what was due, whatever rows tell of it.
func TestRatesOfStores(t *testing.T) {
	s := lossyScene()
	s.plan.Streams = append(s.plan.Streams,
		scenarios.Stream{Source: "vault-0", Op: scenarios.Reads, Every: 2 * time.Second})
	s.access("vault-0", record.Read, 0, 1800, record.OK, "", "")
	o := s.analyse(t, false).outcomesPlot(plots.Window{To: time.Hour}, "")
	sum := map[string]float64{}
	for _, layer := range o.Layers {
		for i, rate := range layer.Rates {
			sum[layer.Outcome] += rate * 3600 / float64(len(layer.Rates))
			if 0 < i && i < len(layer.Rates)-1 {
				assert.LessOrEqual(t, rate, 2.71, "%s in bin %d", layer.Outcome, i)
			}
		}
	}
	assert.InDelta(t, 7920+1800-800, sum["ok"], 10)
	assert.InDelta(t, 800, sum["unknown-kid"], 10)
}

// Many rings share colours, by what they are and not by who issued them.
func TestLanesOfManyStoreRings(t *testing.T) {
	s := newStoreScene()
	for i := range 2 * leavesMax {
		at := 40*time.Minute + time.Duration(i)*time.Minute
		keys := "r" + strconv.Itoa(3+i) + "*"
		s.rings(at, keys)
		s.use("vault-0", at, at+time.Second, ring(keys))
	}
	lanes := s.analyse(t, false).lanesPlot(plots.Window{To: time.Hour})
	require.Len(t, lanes.Keys, leavesMax)
	assert.Equal(t, "jwt: r1*, …", lanes.Keys[0])
}

// The pages are golden where they tell of data at rest.
func TestStorePages(t *testing.T) {
	a := lossyScene().analyse(t, false)
	r, err := Judge(a)
	require.NoError(t, err)
	assert.True(t, r.AsExpected)
	data, err := markdown(r, nil)
	require.NoError(t, err)
	golden(t, "stores.md", data)
	page, err := webpage(a, r, nil)
	require.NoError(t, err)
	for _, part := range []string{
		`<td class="name">vault</td><td class="number">200</td><td>85 under r1, 115 under r2</td>` +
			`<td class="number"><span class="status fail">✗ 85</span></td>` +
			`<td class="number">800</td><td class="number">0</td>`,
		`<dt>unreadable records of vault</dt><dd>85<small>of 200 in the end; 800 reads refused, ` +
			`and 0 writes</small></dd>`,
		`<td class="name">vault</td><td class="number">2</td><td class="number">100</td>` +
			`<td>default/jwt</td><td>when used, once older than 10s</td><td>none</td>`,
		"Verdicts come from real AES-GCM code on real keys",
		"<dd>10m<small>in which at least one pod was failing",
	} {
		assert.Contains(t, string(page), part)
	}
	for _, part := range []string{
		"certificate</", "pair check", "new connections", "andshake", "cert-manager",
		"ordered pair",
	} {
		assert.NotContains(t, string(page), part)
	}
	a = newStoreScene().analyse(t, false)
	r, err = Judge(a)
	require.NoError(t, err)
	page, err = webpage(a, r, nil)
	require.NoError(t, err)
	assert.Contains(t, string(page), `<td><code>r1 &gt; r2</code></td><td class="number">140</td>`+
		`<td class="number">2 of 2</td><td class="number">20m</td><td class="number">20m2s</td>`)
	assert.Contains(t, string(page), "<td>before a key goes</td>")
}

// Conditions may speak of data at rest, of a scenario without any too.
func TestConditionsOnStores(t *testing.T) {
	s := lossyScene()
	s.plan.Expect.Conditions = []scenarios.Condition{
		{Name: "counted", That: "stores.all(s, s.unreadable == 85 && s.refused_reads == 800)"},
		{Name: "moved", That: "stores[0].migrations.size() > 0"},
	}
	r := s.judge(t)
	assert.Equal(t, Pass, r.Conditions[0].Status)
	assert.Equal(t, Fail, r.Conditions[1].Status)
	s = newScene()
	s.plan.Expect.Conditions = []scenarios.Condition{{Name: "x", That: "stores[0].records > 0"}}
	require.NoError(t, CheckConditions(s.plan))
	assert.Equal(t, Inconclusive, s.judge(t).Conditions[0].Status)
}
