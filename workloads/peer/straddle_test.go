//go:build unix

package peer_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/peer"
)

// whileRead has a file of the mount be a pipe, waits until somebody reads it, and does something
// before it lets them have the file's content. So the moment is exact on a machine of any speed.
func (m *mount) whileRead(tb testing.TB, name string, do func()) {
	tb.Helper()
	file, err := filepath.EvalSymlinks(filepath.Join(m.dir, name))
	require.NoError(tb, err)
	content, err := os.ReadFile(file)
	require.NoError(tb, err)
	require.NoError(tb, syscall.Mkfifo(file+".pipe", 0o600))
	require.NoError(tb, os.Rename(file+".pipe", file))
	pipe, err := os.OpenFile(file, os.O_WRONLY, 0) // returns when a reader has opened it too
	require.NoError(tb, err)
	do()
	_, err = pipe.Write(content)
	require.NoError(tb, err)
	require.NoError(tb, pipe.Close())
}

// A read that straddles a swap sees two versions: its row has no extent, and what it missed is read
// later.
func TestReadThatStraddlesASwap(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca")
	first, second := ca.issue(t), ca.issue(t)
	m := newMount(t, first)
	config := newConfig(t, "a", m)
	config.Policy = credential.Policy{Kind: credential.Poll, Every: 500 * time.Millisecond}
	config.ReadGap = 20 * time.Millisecond
	config.Horizon = time.Minute
	p := start(t, config)
	begin(t, p)
	p.waitFor(t, "the first read", func(r peer.Row) bool { return r.Span.Kind == record.Reload })
	m.whileRead(t, "tls.crt", func() { m.project(t, second) }) // tls.key comes after it
	p.waitFor(t, "the next read", func(peer.Row) bool {
		return len(p.output.of(record.Reload)) == 3
	})
	rows := p.output.of(record.Reload)
	torn := first.generation(ca)
	torn.Torn = true
	assert.Equal(t, torn, *rows[1].Span.Own)
	assert.Equal(t, rows[1].Span.To, rows[1].Span.Projected)
	assert.Equal(t, second.generation(ca), *rows[2].Span.Own)
	assert.Less(t, rows[2].Span.Projected, rows[1].Span.To)
	assert.Empty(t, p.output.of(record.Project))
}
