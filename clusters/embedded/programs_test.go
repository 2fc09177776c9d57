//go:build linux

package embedded

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/clusters/programs"
	"github.com/certquake/certquake/clusters/programs/programstest"
)

// What is missing or wrong is told at once, except for the workload, which need not be used.
func TestLocateInFolder(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	_, err := locate(t.Context(), bin)
	for _, name := range []string{programControlPlane, programContainer} {
		require.ErrorContains(t, err, filepath.Join(bin, name)+" is missing: `make embedded` in a "+
			"checkout of certquake builds the programs into bin/")
	}
	require.NoError(t, programstest.ELF{}.Write(filepath.Join(bin, programControlPlane)))
	require.NoError(t, programstest.ELF{}.Write(filepath.Join(bin, programContainer)))
	got, err := locate(t.Context(), bin)
	require.NoError(t, err)
	assert.Equal(t, bin, got)
}

func TestLocateNowhere(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := locate(t.Context(), "")
	require.ErrorIs(t, err, programs.ErrNone)
	require.ErrorContains(t, err, "no programs of the embedded cluster (controlplane, ctrinit, "+
		"workload) in ")
	assert.ErrorContains(t, err, "make build embedded && bin/certquake")
}

// The steps are those of this checkout: what they name is there, and the program that builds the
// control plane is among its sources.
func TestKit(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	for _, step := range kit().Steps {
		for _, source := range append(step.Sources, step.Dir) {
			_, err := os.Stat(filepath.Join(root, source))
			require.NoError(t, err, step.What)
		}
	}
	first := kit().Steps[0]
	assert.Equal(t, []string{"run", "./build", "-o", "/x"}, first.Args("/x"))
	assert.DirExists(t, filepath.Join(root, first.Dir, "build"))
}
