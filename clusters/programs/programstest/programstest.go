// Package programstest makes files that pass for programs, for tests that only look at them.
package programstest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"runtime"
)

// ELF is the head of a program with one segment, which nothing can run. The zero value is a good
// static one for this machine.
type ELF struct {
	Machine elf.Machine  // 0: this one
	Segment elf.ProgType // 0: loaded
	Size    uint64       // of the segment
	Mode    os.FileMode  // 0: 0755
	Type    elf.Type     // 0: executable
	OSABI   elf.OSABI
	Rest    string // follows the head
}

// Write makes the file.
func (e ELF) Write(path string) error {
	if e.Machine == 0 {
		e.Machine = map[string]elf.Machine{
			"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64,
		}[runtime.GOARCH]
	}
	if e.Segment == 0 {
		e.Segment = elf.PT_LOAD
	}
	if e.Mode == 0 {
		e.Mode = 0o755
	}
	if e.Type == 0 {
		e.Type = elf.ET_EXEC
	}
	header := elf.Header64{
		Type: uint16(e.Type), Machine: uint16(e.Machine), Version: uint32(elf.EV_CURRENT),
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64,
	}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS] = byte(elf.ELFCLASS64)
	header.Ident[elf.EI_DATA] = byte(elf.ELFDATA2LSB)
	header.Ident[elf.EI_VERSION] = byte(elf.EV_CURRENT)
	header.Ident[elf.EI_OSABI] = byte(e.OSABI)
	var text bytes.Buffer
	segment := elf.Prog64{Type: uint32(e.Segment), Filesz: e.Size} //nolint:gosec // they are small
	for _, part := range []any{header, segment, []byte(e.Rest)} {
		if err := binary.Write(&text, binary.LittleEndian, part); err != nil {
			return err
		}
	}
	if err := os.WriteFile(path, text.Bytes(), e.Mode); err != nil {
		return err
	}
	return os.Chmod(path, e.Mode)
}
