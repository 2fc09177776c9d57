package programs

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
)

// Program is what an executable file for Linux says of itself.
type Program struct {
	Path    string
	Machine elf.Machine
	Shared  bool // it needs shared libraries
}

// Read returns what the file says, or why it is no program for Linux that could be run. The error
// of a file that is not there wraps fs.ErrNotExist.
func Read(path string) (Program, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return Program{}, err
	case !info.Mode().IsRegular():
		return Program{}, fmt.Errorf("%s is no file", path)
	case info.Mode()&0o111 == 0 && runtime.GOOS != "windows":
		return Program{}, fmt.Errorf("%s is not executable: chmod +x %s", path, path)
	}
	file, err := elf.Open(path)
	if err != nil {
		return Program{}, fmt.Errorf("%s is no program for Linux, or damaged: %w", path, err)
	}
	defer func() { _ = file.Close() }()
	if file.Type != elf.ET_EXEC && file.Type != elf.ET_DYN {
		return Program{}, fmt.Errorf("%s is no program: its type is %s", path, file.Type)
	}
	if file.OSABI != elf.ELFOSABI_NONE && file.OSABI != elf.ELFOSABI_LINUX {
		return Program{}, fmt.Errorf("%s is no program for Linux, but for %s", path, file.OSABI)
	}
	p := Program{Path: path, Machine: file.Machine}
	size := uint64(max(0, info.Size()))
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_LOAD && segment.Off+segment.Filesz > size {
			return Program{}, fmt.Errorf("%s is damaged: it ends too early; build it again", path)
		}
		p.Shared = p.Shared || segment.Type == elf.PT_INTERP
	}
	return p, nil
}

// Here says why the program could not run on a machine like this one.
func (p Program) Here() error {
	if want, known := machines()[runtime.GOARCH]; known && p.Machine != want {
		return fmt.Errorf("%s is a program for %s, but this machine is %s", p.Path, p.Machine, want)
	}
	return nil
}

// Alone says why the program could not run where there is nothing but itself.
func (p Program) Alone() error {
	if p.Shared {
		return fmt.Errorf("%s needs shared libraries, which containers here do not have: "+
			"build it with CGO_ENABLED=0", p.Path)
	}
	return nil
}

// Arch returns the architecture in the words of Go and of container images.
func (p Program) Arch() (string, error) {
	for arch, machine := range machines() {
		if machine == p.Machine {
			return arch, nil
		}
	}
	return "", fmt.Errorf("%s is a program for %s, which no node here is known to be: "+
		"build it with GOARCH=%s", p.Path, p.Machine, runtime.GOARCH)
}

// machines are those that programs may be for, by GOARCH.
func machines() map[string]elf.Machine {
	return map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
}

// Check says why a program of the kit could not run here; alone, without shared libraries.
func (k Kit) Check(path string, alone bool) error {
	p, err := Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is missing: `make %s` in a checkout of certquake builds the "+
			"programs into bin/", path, k.Make)
	}
	if err == nil {
		err = p.Here()
	}
	if err == nil && alone {
		err = p.Alone()
	}
	return err
}
