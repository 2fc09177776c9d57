package sim

import (
	"errors"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/rotation"
	"github.com/certquake/certquake/workloads/sealed"
)

// twins are a simulated store and a real one, which are done the same to.
type twins struct {
	rapid *rapid.T
	model *store
	file  *sealed.Store
	mint  *ringMint
	keys  []*ringKey
	ring  *keyring.Ring
}

// twinRecords is how many records each of the twins has.
const twinRecords = 12

// TestStoreAgainstPackageSealed: what a simulated store makes of writes, reads, keys and migrations
// is what a store of package sealed makes of them.
func TestStoreAgainstPackageSealed(t *testing.T) {
	folder, runs := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		file, err := sealed.OpenStore(filepath.Join(folder, strconv.Itoa(runs)))
		require.NoError(rt, err)
		defer file.Close() //nolint:errcheck // only for this comparison
		two := newTwins(t, rt, file)
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			steps := []func(){two.write, two.write, two.take, two.migrate}
			rapid.SampledFrom(steps).Draw(rt, "do")()
			two.compare()
		}
	})
}

func newTwins(t *testing.T, rt *rapid.T, file *sealed.Store) *twins {
	t.Helper()
	scenario, err := scenarios.Open("data-migrated", map[string]string{
		"records": strconv.Itoa(twinRecords),
	})
	require.NoError(rt, err)
	plan, err := scenario.Plan(1)
	require.NoError(rt, err)
	opened, err := New().Open(t.Context(), plan, discard{})
	require.NoError(rt, err)
	w := opened.(*world)
	two := &twins{
		rapid: rt, model: w.pods[0].store, file: file, mint: newRingMint(w.oracle.keys),
		keys: []*ringKey{w.pods[0].class.content.ring.files[0].key},
	}
	for range 3 {
		two.keys = append(two.keys, w.operator.newKey(two.keys[0].kind))
	}
	two.use([]int{0}, 0)
	require.NoError(rt, file.Put(two.sealed(0, twinRecords)...))
	return two
}

// sealed returns n records from a number on, over and over, sealed anew.
func (two *twins) sealed(from, n int) []sealed.Record {
	var all []sealed.Record
	for i := range n {
		id := strconv.Itoa((from + i) % twinRecords)
		text, err := sealed.Seal(two.ring.Primary(), []byte(id), nil)
		require.NoError(two.rapid, err)
		all = append(all, sealed.Record{ID: id, Sealed: text})
	}
	return all
}

// use gives both the keys of these numbers.
func (two *twins) use(numbers []int, primary int) {
	var files []keyFile
	for _, n := range numbers {
		files = append(files, keyFiles("r"+strconv.Itoa(n+1), two.keys[n], n == primary)...)
	}
	p := two.model.pod
	held := &content{ring: newRing(files), secret: p.mount.secret.name}
	read, problem, err := p.node.world.oracle.readRing(two.mint, held.ring, p.group)
	require.NoError(two.rapid, err)
	require.Empty(two.rapid, problem)
	two.ring = read
	require.NoError(two.rapid, p.become(p.key(held, "")))
	require.NoError(two.rapid, two.model.look())
}

// take takes other keys.
func (two *twins) take() {
	numbers := rapid.SliceOfNDistinct(rapid.IntRange(0, 3), 1, 4, rapid.ID[int]).
		Draw(two.rapid, "keys")
	two.use(numbers, rapid.SampledFrom(numbers).Draw(two.rapid, "primary"))
}

// write seals some records anew.
func (two *twins) write() {
	from, n := rapid.IntRange(0, twinRecords-1).Draw(two.rapid, "from"),
		rapid.IntRange(1, 2*twinRecords).Draw(two.rapid, "n")
	c := &scan{plan: scenarios.Stream{Op: scenarios.Writes}, record: from}
	two.model.seal(c, int64(n))
	require.Len(two.rapid, c.rows, 1)
	want := record.OK
	if err := two.file.Put(two.sealed(from, n)...); err != nil {
		found, _ := errors.AsType[*sealed.Error](err)
		require.Equal(two.rapid, sealed.Retired, found.Problem)
		want = record.NoPrimary
	}
	assert.Equal(two.rapid, want, c.rows[0].Outcome)
	assert.EqualValues(two.rapid, n, c.rows[0].Count)
}

// migrate moves records to the primary key from another key that is there too.
func (two *twins) migrate() {
	ids := two.ring.IDs()
	from := rapid.SampledFrom(ids).Draw(two.rapid, "from")
	primary := two.ring.Primary().ID
	if from == primary {
		return
	}
	s := two.model
	s.move = &move{
		Migration: rotation.Migration{From: from, To: primary},
		rotated:   s.pod.mount.secret.rotated, stores: []*store{s}, over: map[*store]bool{},
	}
	before := s.count(from)
	s.pass = &pass{}
	require.NoError(two.rapid, s.finish())
	report, err := sealed.Migrate(two.rapid.Context(), two.file,
		func() (*keyring.Ring, error) { return two.ring, nil }, from, sealed.Options{})
	assert.Equal(two.rapid, err == nil, s.move.Done)
	assert.Equal(two.rapid, err != nil, s.move.Failed)
	assert.EqualValues(two.rapid, report.Migrated, before-s.count(from))
	assert.EqualValues(two.rapid, report.Left, s.count(from))
	s.move = nil
}

// count is how many records are under a key.
func (s *store) count(id string) (n int64) {
	for _, k := range s.under(id) {
		n += k.records
	}
	return n
}

func (two *twins) compare() {
	for i := range twinRecords {
		text, err := two.file.Get(strconv.Itoa(i))
		require.NoError(two.rapid, err)
		want := record.OK
		if _, err = sealed.Open(two.ring, text); err != nil {
			found, _ := errors.AsType[*sealed.Error](err)
			require.Equal(two.rapid, sealed.UnknownKey, found.Problem)
			want = record.UnknownKid
		}
		assert.Equal(two.rapid, want, two.model.keys[two.model.records[i]].opens, "record %d", i)
	}
	uses, err := two.file.Uses()
	require.NoError(two.rapid, err)
	for _, use := range uses {
		assert.EqualValues(two.rapid, use.Records, two.model.count(use.KeyID), use.KeyID)
		assert.Equal(two.rapid, use.Retired, two.model.retired[use.KeyID], use.KeyID)
	}
}

// sums adds up the attempts of a record.
type sums map[record.Kind]int64

func (s sums) Write(row record.Span) error {
	s[row.Kind] += row.Count
	return nil
}

// TestStoreAccounting: whatever happens, every read and write is told of once, and every record is
// there in the end.
func TestStoreAccounting(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		plan := anyStorePlan(rt)
		plan.Horizon = 31 * time.Minute
		got, want := sums{}, sums{}
		require.NoError(rt, harness.Run(t.Context(), plan, New(), got, nil))
		kinds := map[scenarios.Op]record.Kind{
			scenarios.Reads: record.Read, scenarios.Writes: record.Seal,
		}
		for _, s := range plan.Streams {
			want[kinds[s.Op]] += plan.Attempts(s, plan.Horizon)
		}
		want[record.Stored] = int64(len(plan.Pods) * plan.Stores[0].Records)
		for kind, n := range want {
			assert.Equal(rt, n, got[kind], kind)
		}
	})
}

// A memory of what comes of a record that is wrong fails the run.
func TestAuditCatchesAWrongSealing(t *testing.T) {
	scenario, err := scenarios.Open("data-migrated", nil)
	require.NoError(t, err)
	plan, err := scenario.Plan(1)
	require.NoError(t, err)
	opened, err := New(WithAudit(Audit{Every: 1, Max: 100})).Open(t.Context(), plan, discard{})
	require.NoError(t, err)
	w := opened.(*world)
	s := w.pods[0].store
	require.NoError(t, s.look())
	r, g := s.content.ring, s.pod.group
	outcome, err := w.oracle.opens(r, g, s.keys[0])
	require.NoError(t, err)
	assert.Equal(t, record.OK, outcome)
	for shape := range w.oracle.sealings {
		w.oracle.sealings[shape] = record.UnknownKid
	}
	_, err = w.oracle.opens(r, g, s.keys[0])
	require.ErrorIs(t, err, ErrVerdictChanged)
}

// Another key under the id of a record's opens nothing.
func TestReusedIDOpensNothing(t *testing.T) {
	scenario, err := scenarios.Open("data-migrated", nil)
	require.NoError(t, err)
	plan, err := scenario.Plan(1)
	require.NoError(t, err)
	opened, err := New().Open(t.Context(), plan, discard{})
	require.NoError(t, err)
	w := opened.(*world)
	s := w.pods[0].store
	other := newRing(keyFiles("r1", w.operator.newKey(s.keys[0].key.kind), true))
	outcome, err := w.oracle.opens(other, s.pod.group, s.keys[0])
	require.NoError(t, err)
	assert.Equal(t, record.BadSignature, outcome)
}
