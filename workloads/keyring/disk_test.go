//go:build unix

package keyring_test

import (
	"errors"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/internal/disk"
	"github.com/certquake/certquake/workloads/keyring"
)

// TestReadOnDisk reads a real folder while it is swapped in AtomicWriter's order.
func TestReadOnDisk(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, disk.Project(dir, "1", bytesOf(phases[1])))
	done := make(chan error, 1)
	go func() {
		for n := range 100 {
			if err := disk.Project(dir, strconv.Itoa(n+2), bytesOf(phases[1+(n+1)%2])); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for reading := true; reading; {
		select {
		case err := <-done:
			require.NoError(t, err)
			reading = false
		default:
		}
		ring, err := keyring.Read(os.DirFS(dir), keyring.Settings{})
		if got, ok := errors.AsType[*keyring.ReadError](err); ok {
			require.Equal(t, "..data", got.File, "%v", err) // it was swapped five times in a row
			continue
		}
		require.NoError(t, err)
		require.Contains(t, []string{"r1* r2", "r1 r2*"}, ring.String())
	}
	ring, err := keyring.Read(os.DirFS(dir), keyring.Settings{})
	require.NoError(t, err)
	assert.Equal(t, "..101", ring.Version())
	assert.Equal(t, "r1* r2", ring.String())
}
