package sealed_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/certquake/certquake/workloads/sealed"
)

func TestStoreKeepsWhatItWasGiven(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store")
	store, err := sealed.OpenStore(path)
	require.NoError(t, err)
	r1, r2 := ringOf(t, "r1*", "r2"), ringOf(t, "r1", "r2*")
	texts := map[string]string{
		"a": seal(t, r1, "A"), "b": seal(t, r1, "B"), "ü:\x00": seal(t, r2, ""),
	}
	for id, text := range texts {
		require.NoError(t, store.Put(sealed.Record{ID: id, Sealed: text}))
	}
	require.NoError(t, store.Close())
	if runtime.GOOS != "windows" {
		info, statErr := os.Stat(path)
		require.NoError(t, statErr)
		assert.Zero(t, info.Mode()&0o077, "nobody else's")
	}

	store = openStore(t, path)
	for id, want := range texts {
		got, getErr := store.Get(id)
		require.NoError(t, getErr)
		assert.Equal(t, want, got)
	}
	uses, err := store.Uses()
	require.NoError(t, err)
	assert.Equal(t, []sealed.Use{
		{KeyID: "r1", Records: 2, Seals: 2}, {KeyID: "r2", Records: 1, Seals: 1},
	}, uses)
	_, err = store.Get("c")
	requireProblem(t, sealed.NotFound, err)
}

func TestUseFollowsARecord(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	r1, r2 := ringOf(t, "r1*"), ringOf(t, "r1", "r2*")
	wantUse := func(keyID string, records, seals uint64) {
		t.Helper()
		use, err := store.Use(keyID)
		require.NoError(t, err)
		assert.Equal(t, sealed.Use{KeyID: keyID, Records: records, Seals: seals}, use)
	}
	wantUse("r1", 0, 0)
	require.NoError(t, store.Put(sealed.Record{ID: "a", Sealed: seal(t, r1, "1")}))
	require.NoError(t, store.Put(sealed.Record{ID: "a", Sealed: seal(t, r1, "2")}))
	wantUse("r1", 1, 2)
	require.NoError(t, store.Put(sealed.Record{ID: "a", Sealed: seal(t, r2, "3")}))
	wantUse("r1", 0, 2)
	wantUse("r2", 1, 1)
	require.NoError(t, store.Delete("a"))
	require.NoError(t, store.Delete("a"))
	wantUse("r2", 0, 1)
	_, err := store.Get("a")
	requireProblem(t, sealed.NotFound, err)
}

func TestPutIsAllOrNothing(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	good := sealed.Record{ID: "a", Sealed: seal(t, ringOf(t, "r2*"), "A")}
	late := sealed.Record{ID: "b", Sealed: seal(t, ringOf(t, "r1*"), "B")}
	require.NoError(t, store.Retire("r1"))
	for _, c := range []struct {
		bad  sealed.Record
		want sealed.Problem
	}{
		{late, sealed.Retired},
		{sealed.Record{ID: "", Sealed: good.Sealed}, sealed.BadRecord},
		{sealed.Record{ID: strings.Repeat("x", 1025), Sealed: good.Sealed}, sealed.BadRecord},
		{sealed.Record{ID: "b", Sealed: "B"}, sealed.Malformed},
	} {
		requireProblem(t, c.want, store.Put(good, c.bad))
		audit := requireWhole(t, store, ringOf(t, "r2*"))
		assert.Zero(t, audit.Records)
	}
	longest := sealed.Record{ID: strings.Repeat("x", 1024), Sealed: good.Sealed}
	require.NoError(t, store.Put(good, longest))
	require.NoError(t, store.Put())
}

func TestUnderIsACursor(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	// Ids one of which begins with the other, and records that look like parts of the index.
	r1, r10 := ringOf(t, "r1*"), ringOf(t, "r10*")
	for _, id := range []string{"a", "b", "b:", "0:a", "c"} {
		require.NoError(t, store.Put(sealed.Record{ID: id, Sealed: seal(t, r1, "")}))
		require.NoError(t, store.Put(sealed.Record{ID: id + "'", Sealed: seal(t, r10, "")}))
	}
	for _, c := range []struct {
		keyID, after string
		limit        int
		want         []string
	}{
		{"r1", "", 2, []string{"0:a", "a"}},
		{"r1", "a", 2, []string{"b", "b:"}},
		{"r1", "b:", 2, []string{"c"}},
		{"r1", "c", 2, nil},
		{"r1", "aa", 1, []string{"b"}},
		{"r10", "", 9, []string{"0:a'", "a'", "b'", "b:'", "c'"}},
		{"r1", "", 0, nil},
		{"r", "", 9, nil},
		{"r1:b", "", 9, nil},
	} {
		got, err := store.Under(c.keyID, c.after, c.limit)
		require.NoError(t, err)
		assert.Equal(t, c.want, got, "%+v", c)
	}
}

func TestLostIsWhatDroppingWouldLose(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	r1, r2 := ringOf(t, "r1*"), ringOf(t, "r1", "r2*")
	fill(t, store, r1, 7)
	require.NoError(t, store.Put(sealed.Record{ID: "new", Sealed: seal(t, r2, "x")}))
	for _, c := range []struct {
		ids  []string
		want uint64
	}{
		{[]string{"r1", "r2*"}, 0},
		{[]string{"r2*"}, 7},
		{[]string{"r1*"}, 1},
		{[]string{"r3*"}, 8},
	} {
		lost, err := store.Lost(ringOf(t, c.ids...))
		require.NoError(t, err)
		assert.Equal(t, c.want, lost, c.ids)
		audit, err := store.Audit(context.Background(), ringOf(t, c.ids...))
		require.NoError(t, err)
		assert.Equal(t, c.want, audit.Unreadable[sealed.UnknownKey], c.ids)
	}
}

func TestRetire(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	text := seal(t, ringOf(t, "r1*"), "x")
	require.NoError(t, store.Put(sealed.Record{ID: "a", Sealed: text}))
	err := store.Retire("r1")
	requireProblem(t, sealed.InUse, err)
	require.EqualError(t, err,
		`key "r1": in-use: 1 records are left under it, so it must not be dropped`)
	require.NoError(t, store.Put(sealed.Record{ID: "a", Sealed: text}), "a refusal fences nothing")
	require.NoError(t, store.Delete("a"))
	require.NoError(t, store.Retire("r1"))
	require.NoError(t, store.Retire("r1"))
	late := store.Put(sealed.Record{ID: "a", Sealed: text})
	assert.Equal(t, "r1", requireProblem(t, sealed.Retired, late))
	requireProblem(t, sealed.Malformed, store.Retire("r:1"))
}

func TestAFileIsOpenOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store")
	openStore(t, path)
	_, err := sealed.OpenStore(path)
	requireProblem(t, sealed.Storage, err)
	require.ErrorContains(t, err, path+": another process has it open")
}

func TestAStoreThatIsNone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store")
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("no store ", 2000)), 0o600))
	_, err := sealed.OpenStore(path)
	requireProblem(t, sealed.Storage, err)
	_, err = sealed.OpenStore(t.TempDir())
	requireProblem(t, sealed.Storage, err)
}

func TestAClosedStore(t *testing.T) {
	t.Parallel()
	store, err := sealed.OpenStore(filepath.Join(t.TempDir(), "store"))
	require.NoError(t, err)
	require.NoError(t, store.Close())
	_, err = store.Get("a")
	requireProblem(t, sealed.Storage, err)
	requireProblem(t, sealed.Storage, store.Delete("a"))
}

// An audit sees every way in which tables can differ.
func TestAuditSeesDamage(t *testing.T) {
	t.Parallel()
	ring := ringOf(t, "r1", "r2*")
	use := make([]byte, 17)
	use[7], use[15] = 2, 3
	retired := append([]byte{}, use...)
	retired[7], retired[16] = 3, 1
	for name, c := range map[string]struct {
		table, key string
		value      []byte
		wrong      uint64
		unreadable map[sealed.Problem]uint64
	}{
		"none":           {"index", "nothing", nil, 0, nil},
		"record gone":    {"records", recordOf(0), nil, 3, nil},
		"index gone":     {"index", "r2:" + recordOf(0), nil, 2, nil},
		"index too much": {"index", "r2:else", []byte{}, 1, nil},
		"counter":        {"uses", "r2", use, 2, nil},
		"no counter":     {"uses", "r2", nil, 1, nil},
		"retired":        {"uses", "r2", retired, 1, nil},
		"other key": {
			"records", recordOf(0), []byte("r1" + seal(t, ring, "")[2:]), 2,
			map[sealed.Problem]uint64{sealed.BadCiphertext: 1},
		},
		"no text": {
			"records", recordOf(0), []byte("r2:!"), 0,
			map[sealed.Problem]uint64{sealed.Malformed: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newStore(t)
			fill(t, store, ring, 3)
			require.NoError(t, store.Damage(c.table, []byte(c.key), c.value))
			audit, err := store.Audit(context.Background(), ring)
			require.NoError(t, err)
			assert.Equal(t, c.wrong, audit.Wrong)
			if c.unreadable == nil {
				c.unreadable = map[sealed.Problem]uint64{}
			}
			assert.Equal(t, c.unreadable, audit.Unreadable)
		})
	}
}

func TestADamagedCounterIsNotBelieved(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	fill(t, store, ringOf(t, "r1*"), 1)
	require.NoError(t, store.Damage("uses", []byte("r1"), []byte("short")))
	_, err := store.Use("r1")
	requireProblem(t, sealed.Storage, err)
	requireProblem(t, sealed.Storage, store.Retire("r1"))
	require.NoError(t, store.Damage("uses", []byte("r1"), make([]byte, 17)))
	requireProblem(t, sealed.Storage, store.Delete(recordOf(0)))
}

func TestAuditEnds(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	store.Hurry()
	ring := ringOf(t, "r1*")
	fill(t, store, ring, sealed.AuditStride)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := store.Audit(ctx, ring)
	require.ErrorIs(t, err, context.Canceled)
}

// model is what a store must be like after any calls.
type model struct {
	records map[string]string // the key's id, by the record's
	seals   map[string]uint64
	retired map[string]bool
}

func (m *model) under(keyID string) uint64 {
	var n uint64
	for _, id := range m.records {
		if id == keyID {
			n++
		}
	}
	return n
}

// Whatever is called in whatever order, the counters are exact.
func TestStoreAgainstAModel(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	store.Hurry()
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++ // each has ids of its own
		m := model{map[string]string{}, map[string]uint64{}, map[string]bool{}}
		var ids, records []string
		for _, suffix := range []string{"r1", "r10", "r2", "r.3"} {
			ids = append(ids, itoa(runs)+suffix)
		}
		for _, suffix := range []string{"a", "b", "c", "a:", "0:a", "\x00"} {
			records = append(records, itoa(runs)+":"+suffix)
		}
		record, key := rapid.SampledFrom(records), rapid.SampledFrom(ids)
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				record, keyID := record.Draw(t, "record"), key.Draw(t, "key")
				err := store.Put(sealed.Record{ID: record, Sealed: formed(keyID)})
				require.Equal(t, m.retired[keyID], err != nil)
				if err == nil {
					m.records[record] = keyID
					m.seals[keyID]++
				}
			},
			"delete": func(t *rapid.T) {
				record := record.Draw(t, "record")
				require.NoError(t, store.Delete(record))
				delete(m.records, record)
			},
			"retire": func(t *rapid.T) {
				keyID := key.Draw(t, "key")
				err := store.Retire(keyID)
				require.Equal(t, m.under(keyID) > 0, err != nil)
				m.retired[keyID] = m.retired[keyID] || err == nil
			},
			"": func(t *rapid.T) { m.compare(t, store, ids) },
		})
	})
}

// formed returns a text that has the form of one and that no key opens.
func formed(keyID string) string {
	return keyID + ":" + strings.Repeat("A", 16) + ":" + strings.Repeat("A", 24)
}

func (m *model) compare(t *rapid.T, store *sealed.Store, ids []string) {
	for _, keyID := range ids {
		use, err := store.Use(keyID)
		require.NoError(t, err)
		require.Equal(t, sealed.Use{
			KeyID: keyID, Records: m.under(keyID), Seals: m.seals[keyID], Retired: m.retired[keyID],
		}, use)
		records, err := store.Under(keyID, "", 100)
		require.NoError(t, err)
		require.Len(t, records, int(use.Records))
		for _, record := range records {
			require.Equal(t, keyID, m.records[record])
		}
	}
}
