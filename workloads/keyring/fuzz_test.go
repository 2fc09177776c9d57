package keyring_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/keyring"
)

// anyFolder lists names that a file system would not have, and is opened by them.
type anyFolder struct {
	names  []string
	data   []string
	opened []string
}

func (a *anyFolder) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
}

func (a *anyFolder) ReadDir(string) ([]fs.DirEntry, error) {
	entries := make([]fs.DirEntry, len(a.names))
	for i, name := range a.names {
		entries[i] = entry(name)
	}
	return entries, nil
}

func (a *anyFolder) ReadFile(name string) ([]byte, error) {
	a.opened = append(a.opened, name)
	for i, other := range a.names {
		if other == name {
			return []byte(a.data[i]), nil
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

type entry string

func (e entry) Name() string               { return string(e) }
func (e entry) IsDir() bool                { return false }
func (e entry) Type() fs.FileMode          { return 0 }
func (e entry) Info() (fs.FileInfo, error) { return nil, fs.ErrInvalid }

// FuzzRead throws names and contents at the reader. Whatever they are, it opens nothing but what it
// listed, and returns a ring that hangs together or a *ReadError; neither shows material.
func FuzzRead(f *testing.F) {
	key := ecKey(f)
	private, public := privatePEM(f, key), publicPEM(f, key)
	f.Add("r1.key.primary", secret, "r2.key", "two", "..data", "", byte(0))
	f.Add("r1.key", secret, "r1.key.primary", secret, "R1.key", "x", byte(0))
	f.Add("../r1.key.primary", "x", "a/b.key", "y", "r2.private.primary", "z", byte(0))
	f.Add("r1.private.primary", private, "r1.public", public, "r1.crt", "x", byte(1))
	f.Add("r1.public.primary", public, "r2.public", public[:90], "x.public", private, byte(2))
	f.Add("r1.crt.primary", certPEM(f, key), "r1.private", private, "r1.key", "x", byte(3))
	f.Fuzz(func(t *testing.T, name1, data1, name2, data2, name3, data3 string, which byte) {
		parts := [][]keyring.Part{
			nil, pair, {keyring.Public}, {keyring.Certificate}, triple, {"", "password"},
		}[which%6]
		files := &anyFolder{
			names: []string{name1, name2, name3}, data: []string{data1, data2, data3},
		}
		ring, err := keyring.Read(files, keyring.Settings{Parts: parts})
		for _, name := range files.opened {
			require.Contains(t, files.names, name)
			require.NotContains(t, name, "/")
			require.False(t, strings.HasPrefix(name, "."))
		}
		if err != nil {
			require.Nil(t, ring)
			got, ok := errors.AsType[*keyring.ReadError](err)
			require.True(t, ok)
			requireHidden(t, files, err.Error(), got.File, got.ID)
			return
		}
		requireWhole(t, ring)
		requireHidden(t, files, printed(ring)+printed(ring.Primary()))
	})
}

func requireWhole(t *testing.T, ring *keyring.Ring) {
	t.Helper()
	require.Contains(t, ring.IDs(), ring.Primary().ID)
	for _, id := range ring.IDs() {
		key, ok := ring.Key(id)
		require.True(t, ok)
		require.Equal(t, id, key.ID)
		require.Regexp(t, `^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`, id)
		if signer := key.Signer(); signer != nil {
			require.Equal(t, key.Public(), signer.Public())
		}
	}
}

// requireHidden holds a text against every line of the files that is long enough to be telling and
// in no name.
func requireHidden(t *testing.T, files *anyFolder, texts ...string) {
	t.Helper()
	names := strings.Join(files.names, "\n") + "-----BEGIN PRIVATE KEY-----END PUBLIC CERTIFICATE"
	for _, data := range files.data {
		for line := range strings.Lines(data) {
			line = strings.TrimSpace(line)
			if len(line) < 24 || strings.Contains(names, line) || strings.HasPrefix(line, "--") {
				continue
			}
			for _, text := range texts {
				require.NotContains(t, text, line)
			}
		}
	}
}
