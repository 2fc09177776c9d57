package keyring_test

import (
	"io/fs"
	"strconv"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/keyring"
)

// TestReadDuringSwap swaps phase 1 for phase 2 before the folder is listed and before each file is
// read. The ring is of phase 2 each time, never a mixture, which would have no primary or two.
func TestReadDuringSwap(t *testing.T) {
	for _, before := range []string{"list", "..1/r1.key.primary", "..1/r2.key"} {
		t.Run(before, func(t *testing.T) {
			v := mount(phases[1])
			h := &hooked{
				Volume: v,
				onList: func(int) {
					if before == "list" {
						project(v, "2", phases[2])
					}
				},
				onFile: func(name string) {
					if name == before {
						project(v, "2", phases[2])
					}
				},
			}
			ring, err := keyring.Read(h, keyring.Settings{})
			require.NoError(t, err)
			assert.Equal(t, "r1 r2*", ring.String())
			assert.Equal(t, "..2", ring.Version())
			assert.Equal(t, 2, h.lists)
		})
	}
}

// removing is a volume that is swapped as it is listed first, with its old folder half removed.
type removing struct {
	fstest.MapFS
	lists *int
}

func (r removing) ReadDir(name string) ([]fs.DirEntry, error) {
	if *r.lists++; *r.lists == 1 {
		r.MapFS["..data"] = link("..2")
		delete(r.MapFS, "..1/r2.key")
	}
	return r.MapFS.ReadDir(name)
}

func link(target string) *fstest.MapFile {
	return &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte(target)}
}

// TestReadLeftover lists what is left of a folder, and all of it can still be read: r1 alone would
// be a good ring, in which nobody could verify with r2.
func TestReadLeftover(t *testing.T) {
	lists := 0
	ring, err := keyring.Read(removing{lists: &lists, MapFS: fstest.MapFS{
		"..data":             link("..1"),
		"..1/r1.key.primary": {Data: []byte("one")},
		"..1/r2.key":         {Data: []byte("two")},
		"..2/r1.key":         {Data: []byte("one")},
		"..2/r2.key.primary": {Data: []byte("two")},
	}}, keyring.Settings{})
	require.NoError(t, err)
	assert.Equal(t, "r1 r2*", ring.String())
	assert.Equal(t, 2, lists)
}

// TestReadLinkOutside has a ..data link that leads out of the folder: it counts as none.
func TestReadLinkOutside(t *testing.T) {
	for _, target := range []string{"../elsewhere", "/etc", ""} {
		ring, err := keyring.Read(fstest.MapFS{
			"..data": link(target), "r1.key.primary": {Data: []byte("one")},
		}, keyring.Settings{})
		require.NoError(t, err, target)
		assert.Empty(t, ring.Version())
	}
}

// TestReadGivesUp swaps during every try: the reader must not chase the link for ever.
func TestReadGivesUp(t *testing.T) {
	v := mount(phases[1])
	h := &hooked{Volume: v, onList: func(n int) {
		project(v, strconv.Itoa(n+1), phases[1+n%2])
	}}
	assertProblem(t, readError(t, h, keyring.Settings{}), keyring.Unreadable, "..data", "")
	assert.Equal(t, 5, h.lists)
}

// TestReadConcurrently projects and reads at the same time: a ring is always a whole phase.
func TestReadConcurrently(t *testing.T) {
	v := mount(phases[1])
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := range 200 {
			project(v, strconv.Itoa(n+2), phases[1+(n+1)%2])
		}
	})
	for range 200 {
		ring, err := keyring.Read(v, keyring.Settings{})
		if err == nil { // a reader may lose the race five times in a row
			assert.Contains(t, []string{"r1* r2", "r1 r2*"}, ring.String())
		}
	}
	writer.Wait()
}
