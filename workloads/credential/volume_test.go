package credential_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/credential"
)

func TestVolumeLayout(t *testing.T) {
	v := mount(map[string][]byte{"tls.crt": []byte("one"), "sub/ca.crt": []byte("two")})
	require.NoError(t, fstest.TestFS(v, "..1/tls.crt", "..1/sub/ca.crt", "tls.crt"))
	for name, want := range map[string]string{
		"..data": "..1", "tls.crt": "..data/tls.crt", "sub": "..data/sub",
	} {
		got, err := v.ReadLink(name)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	data, err := fs.ReadFile(v, "sub/ca.crt")
	require.NoError(t, err)
	assert.Equal(t, "two", string(data))
	entries, err := fs.ReadDir(v, ".")
	require.NoError(t, err)
	assert.Len(t, entries, 4)
}

func TestVolumeProject(t *testing.T) {
	v := credential.NewVolume()
	one := map[string][]byte{"a": []byte("1"), "b": []byte("1")}
	assert.True(t, v.Project("v1", one))
	assert.False(t, v.Project("v2", one), "an equal payload is not written")
	assert.Equal(t, []string{"..data", "..v1", "a", "b"}, names(t, v))

	assert.True(t, v.Project("v2", map[string][]byte{"a": []byte("2")}))
	assert.Equal(t, []string{"..data", "..v2", "a"}, names(t, v), "what is old is gone")
	_, err := v.ReadFile("b")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = v.ReadFile("..v1/a")
	require.ErrorIs(t, err, fs.ErrNotExist)

	assert.True(t, v.Project("v2", one), "a version used again gets a folder of its own")
	target, err := v.ReadLink("..data")
	require.NoError(t, err)
	assert.Equal(t, "..v2.1", target)

	one["a"][0] = 'x'
	data, err := v.ReadFile("a")
	require.NoError(t, err)
	assert.Equal(t, "1", string(data), "the volume keeps its own copy")
}

func names(t *testing.T, v *credential.Volume) []string {
	t.Helper()
	entries, err := v.ReadDir(".")
	require.NoError(t, err)
	var out []string
	for _, entry := range entries {
		out = append(out, entry.Name())
	}
	return out
}

func TestVolumeRefusesBadNames(t *testing.T) {
	v := credential.NewVolume()
	assert.Panics(t, func() { v.Project("a/b", nil) })
	assert.Panics(t, func() { v.Project("data", nil) })
	assert.Panics(t, func() { v.Project("1", map[string][]byte{"../up": nil}) })
}

// TestSwapBetweenOpens swaps the volume before each of the three opens in turn. Naive reads mix two
// versions; pinned ones start over and never do.
func TestSwapBetweenOpens(t *testing.T) {
	ca := newAuthority(t, "ca")
	older, newer := issue(t, ca), issue(t, ca)
	rows := []struct {
		pinned bool
		before int // the open before which the swap happens
		torn   bool
	}{
		{false, 1, false},
		{false, 2, false},
		{false, 3, true},
		{true, 1, false},
		{true, 2, false},
		{true, 3, false},
	}
	for _, row := range rows {
		t.Run(fmt.Sprintf("pinned %v, open %d", row.pinned, row.before), func(t *testing.T) {
			v := mount(older)
			h := &hooked{Volume: v, hook: func(open int) {
				if open == row.before {
					v.Project("2", newer)
				}
			}}
			m, err := credential.Read(h, credential.Settings{Pinned: row.pinned})
			require.NoError(t, err)
			assert.Equal(t, row.torn, m.Torn)
			if row.pinned {
				assert.Equal(t, "..2", m.Version)
				assert.Equal(t, newer["tls.crt"], certPEM(m.Leaf))
			}
		})
	}
}

// TestTornPair is the same torn read under the rules of Java and of Go.
func TestTornPair(t *testing.T) {
	ca := newAuthority(t, "ca")
	older, newer := issue(t, ca), issue(t, ca)
	read := func(check credential.PairCheck) (*credential.Material, error) {
		v := mount(older)
		return credential.Read(&hooked{Volume: v, hook: func(open int) {
			if open == 3 {
				v.Project("2", newer)
			}
		}}, credential.Settings{PairCheck: check})
	}
	java, err := read(credential.NoCheck)
	require.NoError(t, err)
	assert.True(t, java.Torn)
	assert.Equal(t, older["tls.crt"], certPEM(java.Leaf))

	_, err = read(credential.MatchCheck)
	got, ok := errors.AsType[*credential.ReadError](err)
	require.True(t, ok)
	assert.Equal(t, credential.PairMismatch, got.Problem)
}

// TestPinnedGivesUp swaps before every open: the reader must not chase the link for ever.
func TestPinnedGivesUp(t *testing.T) {
	ca := newAuthority(t, "ca")
	both := []map[string][]byte{issue(t, ca), issue(t, ca)}
	v := mount(both[0])
	h := &hooked{Volume: v, hook: func(open int) { v.Project(strconv.Itoa(open+1), both[open%2]) }}
	_, err := credential.Read(h, credential.Settings{Pinned: true})
	require.ErrorIs(t, err, fs.ErrNotExist)
	assert.Equal(t, 5, h.opens)
}

// TestVolumeConcurrently projects and reads at the same time: a pinned reader sees whole versions.
func TestVolumeConcurrently(t *testing.T) {
	ca := newAuthority(t, "ca")
	both := []map[string][]byte{issue(t, ca), issue(t, ca)}
	v := mount(both[0])
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := range 200 {
			v.Project(strconv.Itoa(n+2), both[(n+1)%2])
		}
	})
	for range 200 {
		m, err := credential.Read(v, credential.Settings{Pinned: true})
		if err == nil { // a reader may lose the race five times in a row
			assert.False(t, m.Torn)
		}
	}
	writer.Wait()
}
