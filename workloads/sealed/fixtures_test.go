package sealed_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/sealed"
)

// asMigration makes this binary a process that migrates the store in a folder.
const asMigration = "CERTQUAKE_TEST_MIGRATION"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asMigration); dir != "" { //nolint:forbidigo // a process that a test starts
		if err := migrateAsProcess(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// material returns the key of an id: always the same, and of no use but in tests.
func material(id string) []byte {
	return []byte((id + strings.Repeat("-a-key-for-tests", 3))[:32])
}

// ringOf returns the ring "r1 r2*" for the ids r1 and r2*.
func ringOf(tb testing.TB, ids ...string) *keyring.Ring {
	tb.Helper()
	ring, err := keyring.Read(folderOf(ids...), keyring.Settings{})
	require.NoError(tb, err)
	return ring
}

func folderOf(ids ...string) fstest.MapFS {
	keys := map[string][]byte{}
	for _, id := range ids {
		keys[id] = material(strings.TrimSuffix(id, "*"))
	}
	return mount(keys)
}

// mount returns a folder of keys; a star behind an id marks the primary.
func mount(keys map[string][]byte) fstest.MapFS {
	files := fstest.MapFS{}
	for id, key := range keys {
		stem, primary := strings.CutSuffix(id, "*")
		name := stem + ".key"
		if primary {
			name += ".primary"
		}
		files[name] = &fstest.MapFile{Data: key}
	}
	return files
}

func fixed(ring *keyring.Ring) func() (*keyring.Ring, error) {
	return func() (*keyring.Ring, error) { return ring, nil }
}

func seal(tb testing.TB, ring *keyring.Ring, plaintext string) string {
	tb.Helper()
	text, err := sealed.Seal(ring.Primary(), []byte(plaintext), nil)
	require.NoError(tb, err)
	return text
}

func newStore(tb testing.TB) *sealed.Store {
	tb.Helper()
	return openStore(tb, filepath.Join(tb.TempDir(), "store"))
}

func openStore(tb testing.TB, path string) *sealed.Store {
	tb.Helper()
	store, err := sealed.OpenStore(path)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, store.Close()) })
	return store
}

// fill puts n records under the primary key of a ring: record i holds plaintextOf(i).
func fill(tb testing.TB, store *sealed.Store, ring *keyring.Ring, n int) {
	tb.Helper()
	const chunk = 1000
	for from := 0; from < n; from += chunk {
		records := make([]sealed.Record, 0, chunk)
		for i := from; i < min(from+chunk, n); i++ {
			records = append(records, sealed.Record{
				ID: recordOf(i), Sealed: seal(tb, ring, plaintextOf(i)),
			})
		}
		require.NoError(tb, store.Put(records...))
	}
}

func recordOf(i int) string    { return fmt.Sprintf("record-%07d", i) }
func plaintextOf(i int) string { return fmt.Sprintf("what record %d is about", i) }

// read returns what a record holds.
func read(tb testing.TB, store *sealed.Store, ring *keyring.Ring, record string) string {
	tb.Helper()
	text, err := store.Get(record)
	require.NoError(tb, err)
	plaintext, err := sealed.Open(ring, text)
	require.NoError(tb, err)
	return string(plaintext)
}

// requireWhole holds what the store counts against what it holds, all of it readable.
func requireWhole(tb testing.TB, store *sealed.Store, ring *keyring.Ring) sealed.Audit {
	tb.Helper()
	audit, err := store.Audit(context.Background(), ring)
	require.NoError(tb, err)
	require.Zero(tb, audit.Wrong)
	require.Empty(tb, audit.Unreadable)
	return audit
}

// requireProblem returns the id of the key that the error is about.
func requireProblem(tb testing.TB, want sealed.Problem, err error) string {
	tb.Helper()
	got, ok := errors.AsType[*sealed.Error](err)
	require.True(tb, ok, "%v", err)
	require.Equal(tb, want, got.Problem, "%v", err)
	return got.KeyID
}

func randomBytes(tb testing.TB, n int) []byte {
	tb.Helper()
	data := make([]byte, n)
	_, err := rand.Read(data)
	require.NoError(tb, err)
	return data
}

func itoa(n int) string { return strconv.Itoa(n) }
