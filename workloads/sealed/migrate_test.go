package sealed_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/sealed"
)

func TestMigrate(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	before, during, after := ringOf(t, "r1*"), ringOf(t, "r1", "r2*"), ringOf(t, "r2*")
	fill(t, store, before, 25)
	untouched := seal(t, during, "new")
	require.NoError(t, store.Put(sealed.Record{ID: "new", Sealed: untouched}))

	var told []uint64
	report, err := sealed.Migrate(t.Context(), store, fixed(during), "r1", sealed.Options{
		Batch: 10,
		After: func(_ context.Context, so sealed.Report) error {
			told = append(told, so.Left)
			return nil
		},
	})
	require.NoError(t, err)
	want := sealed.Report{From: "r1", To: "r2", Batches: 3, Migrated: 25, Retired: true}
	assert.Equal(t, want, report)
	assert.Equal(t, []uint64{15, 5, 0}, told)
	for i := range 25 {
		assert.Equal(t, plaintextOf(i), read(t, store, after, recordOf(i)))
	}
	text, err := store.Get("new")
	require.NoError(t, err)
	assert.Equal(t, untouched, text, "what is under another key stays as it is")
	audit := requireWhole(t, store, after)
	assert.Equal(t, map[string]uint64{"r2": 26}, audit.Under)
	lost, err := store.Lost(after)
	require.NoError(t, err)
	assert.Zero(t, lost)
	uses, err := store.Uses()
	require.NoError(t, err)
	assert.Equal(t, []sealed.Use{
		{KeyID: "r1", Seals: 25, Retired: true}, {KeyID: "r2", Records: 26, Seals: 26},
	}, uses)

	late := store.Put(sealed.Record{ID: "late", Sealed: seal(t, before, "x")})
	assert.Equal(t, "r1", requireProblem(t, sealed.Retired, late))

	report, err = sealed.Migrate(t.Context(), store, fixed(after), "r1", sealed.Options{})
	require.NoError(t, err, "again, even after the key was dropped")
	assert.Equal(t, sealed.Report{From: "r1", Retired: true}, report)
}

// A batch that ends with the last record needs no more to find that none is left.
func TestMigrateAFullBatch(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 9, 10, 11, 20} {
		store := newStore(t)
		fill(t, store, ringOf(t, "r1*"), n)
		report, err := sealed.Migrate(t.Context(), store, fixed(ringOf(t, "r1", "r2*")), "r1",
			sealed.Options{Batch: 10})
		require.NoError(t, err)
		want := sealed.Report{
			From: "r1", To: "r2", Batches: max(1, (n+9)/10), Migrated: uint64(n), Retired: true,
		}
		assert.Equal(t, want, report)
	}
}

// Large records end a batch early.
func TestMigrateLargeRecords(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	store.Hurry()
	r1, r2 := ringOf(t, "r1*"), ringOf(t, "r1", "r2*")
	large := string(randomBytes(t, sealed.BatchBytes/2))
	for i := range 5 {
		require.NoError(t, store.Put(sealed.Record{ID: recordOf(i), Sealed: seal(t, r1, large)}))
	}
	report, err := sealed.Migrate(t.Context(), store, fixed(r2), "r1", sealed.Options{})
	require.NoError(t, err)
	assert.Equal(t, sealed.Report{
		From: "r1", To: "r2", Batches: 3, Migrated: 5, Retired: true,
	}, report)
	for i := range 5 {
		require.Len(t, read(t, store, r2, recordOf(i)), len(large))
	}
}

// The key was dropped early: all is counted, and nothing is lost that still could be saved.
func TestMigrateAfterDroppingEarly(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	fill(t, store, ringOf(t, "r1*"), 12)
	dropped := ringOf(t, "r2*", "r3")
	report, err := sealed.Migrate(t.Context(), store, fixed(dropped), "r1", sealed.Options{})
	requireProblem(t, sealed.UnknownKey, err)
	assert.Equal(t, sealed.Report{From: "r1", Unreadable: 12, Left: 12}, report)

	report, err = sealed.Migrate(t.Context(), store, fixed(ringOf(t, "r1", "r2*")), "r1",
		sealed.Options{})
	require.NoError(t, err, "the key was put back")
	assert.EqualValues(t, 12, report.Migrated)
	assert.True(t, report.Retired)
}

// The key is dropped while the migration runs: what was migrated is safe, the rest is counted.
func TestMigrateWhileTheKeyIsDropped(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	fill(t, store, ringOf(t, "r1*"), 25)
	rings := []*keyring.Ring{ringOf(t, "r1", "r2*"), ringOf(t, "r1", "r2*"), ringOf(t, "r2*")}
	asked := 0
	report, err := sealed.Migrate(t.Context(), store, func() (*keyring.Ring, error) {
		asked++
		return rings[asked-1], nil
	}, "r1", sealed.Options{Batch: 10})
	requireProblem(t, sealed.UnknownKey, err)
	assert.Equal(t, sealed.Report{
		From: "r1", To: "r2", Batches: 2, Migrated: 20, Unreadable: 5, Left: 5,
	}, report)
	lost, err := store.Lost(rings[2])
	require.NoError(t, err)
	assert.EqualValues(t, 5, lost)
}

// Records that cannot be opened are counted, named and kept, and do not keep others from being
// migrated, however many they are.
func TestMigrateUnreadableRecords(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	r1, r2 := ringOf(t, "r1*"), ringOf(t, "r1", "r2*")
	fill(t, store, r1, 30)
	wrong, err := keyring.Read(mount(map[string][]byte{"r1*": material("x")}), keyring.Settings{})
	require.NoError(t, err)
	var want []string
	for i := 5; i < 28; i++ {
		want = append(want, recordOf(i))
		text := seal(t, wrong, "?")
		require.NoError(t, store.Put(sealed.Record{ID: recordOf(i), Sealed: text}))
	}
	var got []string
	report, err := sealed.Migrate(t.Context(), store, fixed(r2), "r1", sealed.Options{
		Batch: 4,
		Unreadable: func(record string, err error) {
			got = append(got, record)
			requireProblem(t, sealed.BadCiphertext, err)
		},
	})
	requireProblem(t, sealed.InUse, err)
	require.ErrorContains(t, err, "23 records are left")
	assert.Equal(t, want, got)
	assert.EqualValues(t, 7, report.Migrated)
	assert.EqualValues(t, 23, report.Unreadable)
	assert.EqualValues(t, 23, report.Left)
	assert.False(t, report.Retired)
	text, err := store.Get(recordOf(5))
	require.NoError(t, err)
	plaintext, err := sealed.Open(wrong, text)
	require.NoError(t, err)
	assert.Equal(t, "?", string(plaintext))
	require.NoError(t, store.Put(sealed.Record{ID: "still", Sealed: seal(t, r1, "taken")}))
}

func TestMigrateIsRefused(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	r1, r2 := ringOf(t, "r1*", "r2"), ringOf(t, "r1", "r2*")
	short, err := keyring.Read(mount(map[string][]byte{
		"r1": material("r1"), "r2*": []byte("short"),
	}), keyring.Settings{})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		ring    func() (*keyring.Ring, error)
		from    string
		options sealed.Options
		retire  string
		want    sealed.Problem
		is      error
	}{
		"to itself":    {ring: fixed(r1), from: "r1", want: sealed.Primary},
		"misspelt":     {ring: fixed(r2), from: "r01", want: sealed.UnknownKey},
		"no key":       {ring: fixed(r2), from: "", want: sealed.UnknownKey},
		"bad key":      {ring: fixed(short), from: "r1", want: sealed.BadKey},
		"to a retired": {ring: fixed(r2), from: "r1", retire: "r2", want: sealed.Retired},
		"no iv": {
			ring: fixed(r2), from: "r1", want: sealed.NoIV, is: io.EOF,
			options: sealed.Options{Random: strings.NewReader("")},
		},
		"an iv too few": {
			ring: fixed(r2), from: "r1", want: sealed.NoIV, is: io.EOF,
			options: sealed.Options{Random: bytes.NewReader(make([]byte, 12*4))},
		},
		"no ring": {
			ring: func() (*keyring.Ring, error) { return nil, broken }, from: "r1", is: broken,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newStore(t)
			fill(t, store, r1, 5)
			if c.retire != "" {
				require.NoError(t, store.Retire(c.retire))
			}
			report, err := sealed.Migrate(t.Context(), store, c.ring, c.from, c.options)
			if c.want != "" {
				requireProblem(t, c.want, err)
			}
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
			assert.False(t, report.Retired)
			assert.Zero(t, report.Migrated)
			audit := requireWhole(t, store, r1)
			assert.Equal(t, map[string]uint64{"r1": 5}, audit.Under, "no batch is half done")
		})
	}
}

// Whoever ends a migration gets a good report, and the next call goes on.
func TestMigrateEndsAndGoesOn(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	r1, r2 := ringOf(t, "r1*"), ringOf(t, "r1", "r2*")
	fill(t, store, r1, 30)
	ctx, cancel := context.WithCancel(t.Context())
	report, err := sealed.Migrate(ctx, store, fixed(r2), "r1", sealed.Options{
		Batch: 10, After: func(context.Context, sealed.Report) error { cancel(); return nil },
	})
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, sealed.Report{From: "r1", To: "r2", Batches: 1, Migrated: 10, Left: 20}, report)

	enough := errors.New("enough")
	report, err = sealed.Migrate(t.Context(), store, fixed(r2), "r1", sealed.Options{
		Batch: 10, After: func(context.Context, sealed.Report) error { return enough },
	})
	require.ErrorIs(t, err, enough)
	assert.Equal(t, sealed.Report{From: "r1", To: "r2", Batches: 1, Migrated: 10, Left: 10}, report)

	report, err = sealed.Migrate(t.Context(), store, fixed(r2), "r1", sealed.Options{Batch: 7})
	require.NoError(t, err)
	assert.Equal(t, sealed.Report{
		From: "r1", To: "r2", Batches: 2, Migrated: 10, Retired: true,
	}, report)
}

// A second rotation begins while the first one's migration runs.
func TestMigrateWhileThePrimaryChanges(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	fill(t, store, ringOf(t, "r1*"), 20)
	rings := []*keyring.Ring{ringOf(t, "r1", "r2*"), ringOf(t, "r1", "r2", "r3*")}
	asked := 0
	report, err := sealed.Migrate(t.Context(), store, func() (*keyring.Ring, error) {
		asked++
		return rings[asked-1], nil
	}, "r1", sealed.Options{Batch: 10})
	require.NoError(t, err)
	assert.Equal(t, "r3", report.To)
	audit := requireWhole(t, store, ringOf(t, "r2", "r3*"))
	assert.Equal(t, map[string]uint64{"r2": 10, "r3": 10}, audit.Under)
}

// Writes under the old key between batches are found, also those that sort before what was done.
func TestMigrateFindsLateWrites(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	r1, r2 := ringOf(t, "r1*"), ringOf(t, "r1", "r2*")
	fill(t, store, r1, 20)
	report, err := sealed.Migrate(t.Context(), store, fixed(r2), "r1", sealed.Options{
		Batch: 10,
		After: func(_ context.Context, so sealed.Report) error {
			if so.Batches > 2 {
				return nil
			}
			return store.Put(
				sealed.Record{ID: "a-first-" + itoa(so.Batches), Sealed: seal(t, r1, "late")},
				sealed.Record{ID: recordOf(0), Sealed: seal(t, r1, "changed "+itoa(so.Batches))},
			)
		},
	})
	require.NoError(t, err)
	assert.EqualValues(t, 24, report.Migrated)
	assert.Equal(t, "changed 2", read(t, store, ringOf(t, "r2*"), recordOf(0)))
	assert.Equal(t, "late", read(t, store, ringOf(t, "r2*"), "a-first-2"))
	requireWhole(t, store, ringOf(t, "r2*"))
}
