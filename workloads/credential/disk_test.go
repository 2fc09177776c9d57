//go:build unix

package credential_test

import (
	"io/fs"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/internal/disk"
)

// TestAtomicReplaceOnDisk reads a real folder while it is swapped in AtomicWriter's order.
func TestAtomicReplaceOnDisk(t *testing.T) {
	ca := newAuthority(t, "ca")
	both := []map[string][]byte{issue(t, ca), issue(t, ca)}
	dir := t.TempDir()
	require.NoError(t, disk.Project(dir, "1", both[0]))
	done := make(chan error, 1)
	go func() {
		for n := range 100 {
			if err := disk.Project(dir, strconv.Itoa(n+2), both[(n+1)%2]); err != nil {
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
		m, err := credential.Read(os.DirFS(dir), credential.Settings{Pinned: true})
		if err != nil {
			require.ErrorIs(t, err, fs.ErrNotExist)
			continue
		}
		require.False(t, m.Torn)
	}
	m, err := credential.Read(os.DirFS(dir), credential.Settings{})
	require.NoError(t, err)
	assert.Equal(t, "..101", m.Version)
	assert.False(t, m.Torn)
}
