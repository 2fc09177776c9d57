package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, asChild()...) }

// install makes a folder with programs.
func install(t *testing.T, dir string, programs ...string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for _, program := range programs {
		require.NoError(t, os.WriteFile(filepath.Join(dir, program), nil, 0o755))
	}
	return dir
}

var programs = []string{"postgres", "initdb"}

// TestFind takes the newest by number, not by text, of what is complete.
func TestFind(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("programs have other names")
	}
	root := t.TempDir()
	path := install(t, filepath.Join(root, "path"), programs...)
	list := strings.Join([]string{"", "relative", filepath.Join(root, "none"), path},
		string(filepath.ListSeparator))

	_, err := find(root, "")
	missing, ok := errors.AsType[*NotFoundError](err)
	require.True(t, ok)
	assert.Contains(t, missing.Error(), "apt-get install postgresql")
	got, err := find(root, list)
	require.NoError(t, err)
	assert.Equal(t, path, got)

	install(t, filepath.Join(root, "17", "bin"), "postgres", "psql")
	install(t, filepath.Join(root, "9", "bin"), programs...)
	want := install(t, filepath.Join(root, "15", "bin"), programs...)
	got, err = find(root, list)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

func TestSettingsAreChecked(t *testing.T) {
	_, err := Start(t.Context(), Settings{Address: "localhost"})
	require.EqualError(t, err, `start postgres: "localhost" is no IP address`)
	_, err = Start(t.Context(), Settings{Key: []byte("key")})
	require.ErrorIs(t, err, errHalfPair)
}

// open makes a folder that whoever the server runs as can get to, unlike those of t.TempDir.
func open(t *testing.T) string {
	t.Helper()
	//nolint:usetesting // t.TempDir has a parent that nobody else gets through
	dir, err := os.MkdirTemp("", "certquake-test-")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

// TestStartLeavesNothing has no program to run.
func TestStartLeavesNothing(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no server is started there")
	}
	parent := open(t)
	_, err := Start(t.Context(), Settings{Bin: filepath.Join(parent, "none"), Parent: parent})
	require.ErrorIs(t, err, os.ErrNotExist)
	left, err := os.ReadDir(parent)
	require.NoError(t, err)
	assert.Empty(t, left)
}
