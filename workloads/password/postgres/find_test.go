package postgres

import (
	"os"
	"path/filepath"
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
