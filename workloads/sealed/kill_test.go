package sealed_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/sealed"
)

const killedBatch = 50

// migrateAsProcess migrates from r1 and tells after each batch how many records are left.
func migrateAsProcess(dir string) error {
	store, err := sealed.OpenStore(filepath.Join(dir, "store"))
	if err != nil {
		return err
	}
	keys := keyring.New(os.DirFS(filepath.Join(dir, "keys")), keyring.Settings{})
	_, err = sealed.Migrate(context.Background(), store, keys.Ring, "r1", sealed.Options{
		Batch: killedBatch,
		After: func(_ context.Context, so sealed.Report) error {
			_, bad := fmt.Fprintln(os.Stdout, so.Left)
			return bad
		},
	})
	if err != nil {
		return err
	}
	return store.Close()
}

// A migration that is killed at any point leaves a whole store behind, with no less done than it
// had told, and the next one goes on.
func TestKilledMigrationsGoOn(t *testing.T) {
	t.Parallel()
	const n = 6000
	dir := t.TempDir()
	path := filepath.Join(dir, "store")
	store, err := sealed.OpenStore(path)
	require.NoError(t, err)
	fill(t, store, ringOf(t, "r1*"), n)
	require.NoError(t, store.Close())
	require.NoError(t, os.Mkdir(filepath.Join(dir, "keys"), 0o700))
	for name, file := range folderOf("r1", "r2*") {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "keys", name), file.Data, 0o600))
	}

	left, kills := uint64(n), 0
	for round := 0; round < 10 && left > 0; round++ {
		told := killMigration(t, dir, 1+round%4)
		require.Less(t, told, left)
		if left = requireRest(t, path, ringOf(t, "r1", "r2*"), n, told); left > 0 {
			kills++
		}
	}
	require.Positive(t, kills)
	t.Logf("killed %d times, the last time with %d records left", kills, left)
	require.Zero(t, killMigration(t, dir, n), "not killed")
	assert.Zero(t, requireRest(t, path, ringOf(t, "r2*"), n, 0))
	store = openStore(t, path)
	for i := range n {
		require.Equal(t, plaintextOf(i), read(t, store, ringOf(t, "r2*"), recordOf(i)))
	}
	use, err := store.Use("r1")
	require.NoError(t, err)
	assert.True(t, use.Retired)
}

// killMigration starts a process, kills it when it has told of some batches, and returns how many
// records it last told to be left.
func killMigration(t *testing.T, dir string, batches int) uint64 {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asMigration+"="+dir)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var told uint64
	lines := bufio.NewScanner(stdout)
	for i := 1; lines.Scan(); i++ {
		told, err = strconv.ParseUint(lines.Text(), 10, 64)
		require.NoError(t, err)
		if i == batches {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	require.NoError(t, lines.Err())
	if err = cmd.Wait(); told > 0 || batches > 4 {
		require.Equal(t, told == 0, err == nil, "%v", err)
	}
	return told
}

// requireRest looks at a store after a process ended, and returns how many records are left in it.
func requireRest(t *testing.T, path string, ring *keyring.Ring, n, told uint64) uint64 {
	t.Helper()
	store, err := sealed.OpenStore(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	audit := requireWhole(t, store, ring)
	require.Equal(t, n, audit.Records)
	require.LessOrEqual(t, audit.Under["r1"], told)
	require.Equal(t, n, audit.Under["r1"]+audit.Under["r2"])
	return audit.Under["r1"]
}
