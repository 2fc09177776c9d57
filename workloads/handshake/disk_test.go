//go:build unix

package handshake_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/handshake"
)

// TestTLSReloadAtomicReplace is etcd's test of that name: the folder is replaced by a rename, as
// the kubelet does, with expired certificates and back, and every handshake reads the files anew.
func TestTLSReloadAtomicReplace(t *testing.T) {
	ca := newAuthority(t, "ca", newEC(), aYear)
	valid := order{key: newEC(), dns: []string{serverName}}
	expired := valid
	expired.valid = past
	dir := t.TempDir()
	writeFolder(t, filepath.Join(dir, "valid"), secret(t, ca, ca.leaf(t, valid), valid.key))
	writeFolder(t, filepath.Join(dir, "expired"), secret(t, ca, ca.leaf(t, expired), valid.key))
	cache := credential.NewCache(os.DirFS(filepath.Join(dir, "certs")), credential.Settings{},
		credential.Policy{Kind: credential.LazyTTL})
	client := ready(t, node(t, ca, order{}), handshake.Settings{})

	for i, row := range []struct {
		folder string
		want   record.Outcome
	}{{"valid", record.OK}, {"expired", record.Expired}, {"valid", record.OK}} {
		replaceLink(t, dir, row.folder, "certs")
		m, err := cache.Get(time.Duration(i) * time.Second)
		require.NoError(t, err)
		result, _ := handshake.Do(t.Context(), client, ready(t, m, handshake.Settings{}),
			serverName, at(start), at(start))
		assert.Equal(t, row.want, result.Outcome, "after certs -> %s", row.folder)
	}
}

func writeFolder(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	require.NoError(t, os.Mkdir(dir, 0o755))
	for name, data := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
}

// replaceLink points a link elsewhere in one step.
func replaceLink(t *testing.T, dir, target, name string) {
	t.Helper()
	temporary := filepath.Join(dir, name+"_tmp")
	require.NoError(t, os.Symlink(target, temporary))
	require.NoError(t, os.Rename(temporary, filepath.Join(dir, name)))
}
