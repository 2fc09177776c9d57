package programs

import (
	"debug/elf"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/clusters/programs/programstest"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		elf   programstest.ELF
		alone bool
		want  string
	}{
		"good":           {programstest.ELF{}, true, ""},
		"not executable": {programstest.ELF{Mode: 0o644}, false, "is not executable: chmod +x "},
		"other machine":  {programstest.ELF{Machine: elf.EM_S390}, false, "for EM_S390, but this"},
		"cut short":      {programstest.ELF{Size: 4096}, false, "it ends too early"},
		"shared, alone":  {programstest.ELF{Segment: elf.PT_INTERP}, true, "CGO_ENABLED=0"},
		"shared":         {programstest.ELF{Segment: elf.PT_INTERP}, false, ""},
		"no program":     {programstest.ELF{Type: elf.ET_REL}, false, "its type is ET_REL"},
		"another system": {
			programstest.ELF{OSABI: elf.ELFOSABI_FREEBSD}, false, "but for ELFOSABI_FREEBSD",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "program")
			require.NoError(t, row.elf.Write(path))
			err := Kit{}.Check(path, row.alone)
			if row.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, row.want)
			assert.ErrorContains(t, err, path)
		})
	}
	dir := t.TempDir()
	missing := filepath.Join(dir, "none")
	err := Kit{Make: "it"}.Check(missing, false)
	require.ErrorContains(t, err, missing+" is missing: `make it`")
	require.ErrorContains(t, Kit{}.Check(dir, false), "is no file")
	script := filepath.Join(dir, "script")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755))
	require.ErrorContains(t, Kit{}.Check(script, false), "is no program for Linux, or damaged")
	_, err = Read(missing)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestArch(t *testing.T) {
	t.Parallel()
	for machine, want := range map[elf.Machine]string{
		elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64",
	} {
		got, err := Program{Machine: machine}.Arch()
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	_, err := Program{Path: "/it", Machine: elf.EM_S390}.Arch()
	require.ErrorContains(t, err, "/it is a program for EM_S390")
}
