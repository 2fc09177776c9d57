//go:build linux

package embedded

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fakeELF is the head of a program with one segment.
type fakeELF struct {
	machine elf.Machine  // 0: this one
	segment elf.ProgType // 0: loaded
	size    uint64       // of the segment
	mode    os.FileMode  // 0: 0755
}

func program(t *testing.T, path string, f fakeELF) {
	t.Helper()
	if f.machine == 0 {
		f.machine, _ = machine()
	}
	if f.segment == 0 {
		f.segment = elf.PT_LOAD
	}
	if f.mode == 0 {
		f.mode = 0o755
	}
	header := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(f.machine), Version: uint32(elf.EV_CURRENT),
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64,
	}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS] = byte(elf.ELFCLASS64)
	header.Ident[elf.EI_DATA] = byte(elf.ELFDATA2LSB)
	header.Ident[elf.EI_VERSION] = byte(elf.EV_CURRENT)
	var text bytes.Buffer
	require.NoError(t, binary.Write(&text, binary.LittleEndian, header))
	require.NoError(t, binary.Write(&text, binary.LittleEndian,
		elf.Prog64{Type: uint32(f.segment), Filesz: f.size}))
	require.NoError(t, os.WriteFile(path, text.Bytes(), f.mode))
	require.NoError(t, os.Chmod(path, f.mode))
}

func TestCheckProgram(t *testing.T) {
	t.Parallel()
	foreign := elf.EM_S390
	for name, row := range map[string]struct {
		elf   fakeELF
		alone bool
		want  string
	}{
		"good":                  {fakeELF{}, true, ""},
		"not executable":        {fakeELF{mode: 0o644}, false, "is not executable: chmod +x "},
		"other machine":         {fakeELF{machine: foreign}, false, "program for EM_S390, but"},
		"cut short":             {fakeELF{size: 4096}, false, "it ends too early"},
		"dynamic container":     {fakeELF{segment: elf.PT_INTERP}, true, "CGO_ENABLED=0"},
		"dynamic control plane": {fakeELF{segment: elf.PT_INTERP}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "program")
			program(t, path, row.elf)
			err := checkProgram(path, row.alone)
			if row.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, row.want)
			assert.ErrorContains(t, err, path)
		})
	}
	dir := t.TempDir()
	require.ErrorContains(t, checkProgram(filepath.Join(dir, "none"), false), "`make embedded`")
	require.ErrorContains(t, checkProgram(dir, false), "is no file")
	script := filepath.Join(dir, "script")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755))
	require.ErrorContains(t, checkProgram(script, false), "is no program for Linux, or damaged")
}

// sources makes a checkout without anything to build in it.
func sources(t *testing.T) checkout {
	t.Helper()
	c := checkout{t.TempDir()}
	for path, text := range map[string]string{
		"go.mod":                                modulePath,
		"go.sum":                                "",
		"workloads/w.go":                        "",
		"harness/record/r.go":                   "",
		controlPlaneFolder + "/go.mod":          "",
		controlPlaneFolder + "/main.go":         "",
		controlPlaneFolder + "/e2e/one_test.go": "",
	} {
		full := filepath.Join(c.root, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
		require.NoError(t, os.WriteFile(full, []byte(text), 0o644))
	}
	return c
}

// install puts programs into the folder, dated so long from now.
func install(t *testing.T, bin string, from time.Duration) {
	t.Helper()
	require.NoError(t, os.MkdirAll(bin, 0o755))
	at := time.Now().Add(from)
	for _, name := range programNames() {
		program(t, filepath.Join(bin, name), fakeELF{})
		require.NoError(t, os.Chtimes(filepath.Join(bin, name), at, at))
	}
}

func TestLocate(t *testing.T) {
	t.Setenv("PATH", "") // no go
	nowhere := t.TempDir()
	t.Run("beside the running program", func(t *testing.T) {
		bin := t.TempDir()
		install(t, bin, -time.Hour)
		got, err := locateFrom(t.Context(), bin, sources(t).root)
		require.NoError(t, err)
		assert.Equal(t, bin, got)
	})
	t.Run("checkout above the working folder", func(t *testing.T) {
		c := sources(t)
		install(t, c.bin(), time.Hour)
		got, err := locateFrom(t.Context(), nowhere, filepath.Join(c.root, "workloads"))
		require.NoError(t, err)
		assert.Equal(t, c.bin(), got)
	})
	t.Run("checkout above the running program", func(t *testing.T) {
		c := sources(t)
		install(t, c.bin(), time.Hour)
		got, err := locateFrom(t.Context(), c.bin(), nowhere)
		require.NoError(t, err)
		assert.Equal(t, c.bin(), got)
	})
	t.Run("older than the sources and no go", func(t *testing.T) {
		c := sources(t)
		install(t, c.bin(), -time.Hour)
		ctx, said := talk(t)
		_, err := locateFrom(ctx, c.bin(), nowhere)
		require.NoError(t, err)
		assert.Contains(t, said(), "workload may be older than the sources")
	})
	t.Run("nothing and no go", func(t *testing.T) {
		c := sources(t)
		_, err := locateFrom(t.Context(), nowhere, c.root)
		require.ErrorIs(t, err, errNoPrograms)
		assert.ErrorContains(t, err, "make -C "+c.root+" embedded")
	})
	t.Run("nowhere", func(t *testing.T) {
		_, err := locateFrom(t.Context(), nowhere, nowhere)
		require.ErrorIs(t, err, errNoPrograms)
		assert.ErrorContains(t, err, "git clone")
	})
	t.Run("a folder that lacks one", func(t *testing.T) {
		_, err := locate(t.Context(), nowhere)
		assert.ErrorContains(t, err, filepath.Join(nowhere, "ctrinit")+" is missing")
	})
}

func TestFresh(t *testing.T) {
	t.Parallel()
	c := sources(t)
	install(t, c.bin(), time.Hour)
	later := time.Now().Add(2 * time.Hour)
	for _, row := range []struct {
		path string
		want [2]bool
	}{
		{controlPlaneFolder + "/e2e/one_test.go", [2]bool{true, true}},
		{"workloads/w.go", [2]bool{true, false}},
		{controlPlaneFolder + "/main.go", [2]bool{false, false}},
	} {
		require.NoError(t, os.Chtimes(filepath.Join(c.root, row.path), later, later))
		for i, step := range c.steps() {
			fresh, err := c.fresh(step)
			require.NoError(t, err)
			assert.Equal(t, row.want[i], fresh, "%s after %s", step.what, row.path)
		}
	}
}

// A build that fails says what was typed and what came of it; one that is cut short leaves nothing.
func TestBuild(t *testing.T) {
	t.Parallel()
	c := sources(t)
	bad := step{what: "it", dir: ".", args: []string{"build", "./workloads"}}
	err := c.run(t.Context(), bad)
	require.ErrorContains(t, err, "CGO_ENABLED=0 go build ./workloads")
	assert.ErrorContains(t, err, "expected 'package'")
}
