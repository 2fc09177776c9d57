package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A system in an archive is read through links of files and of folders, and hard links.
func TestSystem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "system.tar")
	out, err := newLayer(path)
	require.NoError(t, err)
	out.text("usr/lib/arch/libc.so.6", "library")
	out.link("lib", "usr/lib")
	out.link("usr/sbin/one", "../lib/arch/libc.so.6")
	out.link("usr/sbin/two", "/lib/arch/libc.so.6")
	out.link("loop", "loop")
	out.header(&tar.Header{
		Typeflag: tar.TypeLink, Name: "three", Linkname: "usr/lib/arch/libc.so.6",
	})
	require.NoError(t, out.close())

	system, err := openSystem(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, system.close()) })
	for _, name := range []string{
		"usr/lib/arch/libc.so.6", "lib/arch/libc.so.6", "usr/sbin/one", "usr/sbin/two", "three",
	} {
		content, openErr := system.open(name)
		require.NoError(t, openErr, name)
		text, readErr := io.ReadAll(content)
		require.NoError(t, readErr, name)
		assert.Equal(t, "library", string(text), name)
	}
	_, err = system.open("usr/sbin/four")
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = system.open("loop")
	require.ErrorContains(t, err, "too many links")
	folder, err := system.libraryFolder()
	require.NoError(t, err)
	assert.Equal(t, "usr/lib/arch", folder)
}

// An archive lists every image, and has a layer of several images once.
func TestWriteArchive(t *testing.T) {
	folder := t.TempDir()
	shared := filepath.Join(folder, "layer")
	require.NoError(t, os.WriteFile(shared, []byte("layer"), 0o600))
	to := filepath.Join(folder, "archive.tar")
	require.NoError(t, writeArchive(t.Context(), to, []image{
		{name: "a:1", layers: []string{shared}, config: config{User: "1000"}},
		{name: "b:1", layers: []string{shared}},
	}))

	file, err := os.Open(to)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, file.Close()) })
	count := map[string]int{}
	var table []row
	for reader := tar.NewReader(file); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		count[header.Name]++
		if header.Name == "manifest.json" {
			require.NoError(t, json.NewDecoder(reader).Decode(&table))
		}
	}
	require.Len(t, table, 2)
	assert.Equal(t, []string{"a:1"}, table[0].RepoTags)
	assert.Equal(t, table[0].Layers, table[1].Layers)
	assert.NotEqual(t, table[0].Config, table[1].Config)
	assert.Equal(t, 1, count[table[0].Layers[0]])
	assert.Equal(t, 1, count[table[1].Config])
}
