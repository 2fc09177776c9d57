//go:build unix

package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFind takes the newest by number, not by text, of what is complete.
func TestFind(t *testing.T) {
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

// TestStartLeavesNothing has no program to run.
func TestStartLeavesNothing(t *testing.T) {
	parent := open(t)
	_, err := Start(t.Context(), Settings{Bin: filepath.Join(parent, "none"), Parent: parent})
	require.ErrorIs(t, err, os.ErrNotExist)
	left, err := os.ReadDir(parent)
	require.NoError(t, err)
	assert.Empty(t, left)
}
