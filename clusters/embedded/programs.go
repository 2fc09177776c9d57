package embedded

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/certquake/certquake/harness"
)

// The programs of an embedded cluster. The control plane starts ctrinit, which must lie beside it.
const (
	programControlPlane = "controlplane"
	programContainer    = "ctrinit"
	programWorkload     = "workload"
)

func programNames() []string {
	return []string{programControlPlane, programContainer, programWorkload}
}

// errNoPrograms is of a machine without the programs of an embedded cluster.
var errNoPrograms = errors.New("no programs of the embedded cluster")

// howTo says what to type when the programs are nowhere.
const howTo = "type: git clone https://github.com/certquake/certquake && cd certquake && " +
	"make build embedded && bin/certquake"

// locate returns a folder that holds all programs, and builds them if need be. They are taken from
// the first of: bin, as they are; the folder of the running program, as they are if no checkout
// holds it; the bin folder of a checkout that holds the working folder or the running program,
// built anew where a source is newer.
func locate(ctx context.Context, bin string) (string, error) {
	if bin != "" {
		return bin, checkPrograms(bin)
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the running program: %w", err)
	}
	if target, linkErr := filepath.EvalSymlinks(self); linkErr == nil {
		self = target
	}
	working, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the working folder: %w", err)
	}
	return locateFrom(ctx, filepath.Dir(self), working)
}

func locateFrom(ctx context.Context, beside, working string) (string, error) {
	own, inOwn := checkoutAbove(beside)
	if !inOwn && complete(beside) {
		return beside, checkPrograms(beside)
	}
	from, found := checkoutAbove(working)
	if !found {
		from, found = own, inOwn
	}
	if !found {
		return "", fmt.Errorf("%w (%s, %s, %s) in %s, and no checkout of certquake above %s to "+
			"build them from; %s", errNoPrograms, programControlPlane, programContainer,
			programWorkload, beside, working, howTo)
	}
	if err := from.build(ctx); err != nil {
		return "", err
	}
	return from.bin(), checkPrograms(from.bin())
}

// complete reports whether the folder has all programs.
func complete(bin string) bool {
	for _, name := range programNames() {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return false
		}
	}
	return true
}

// checkPrograms says what is wrong with the programs of a folder. The workload is left to imagesOf,
// because another one may be given.
func checkPrograms(bin string) error {
	return errors.Join(
		checkProgram(filepath.Join(bin, programControlPlane), false),
		checkProgram(filepath.Join(bin, programContainer), true))
}

// checkProgram says why the file could not run here; alone, without shared libraries.
func checkProgram(path string, alone bool) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is missing: `make embedded` in a checkout of certquake builds the "+
			"programs into bin/", path)
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no file", path)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("%s is not executable: chmod +x %s", path, path)
	}
	file, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s is no program for Linux, or damaged: %w", path, err)
	}
	defer func() { _ = file.Close() }()
	if want, known := machine(); known && file.Machine != want {
		return fmt.Errorf("%s is a program for %s, but this machine is %s", path,
			file.Machine, want)
	}
	size := uint64(max(0, info.Size()))
	for _, segment := range file.Progs {
		switch {
		case segment.Type == elf.PT_LOAD && segment.Off+segment.Filesz > size:
			return fmt.Errorf("%s is damaged: it ends too early; build it again", path)
		case segment.Type == elf.PT_INTERP && alone:
			return fmt.Errorf("%s needs shared libraries, which containers here do not have: "+
				"build it with CGO_ENABLED=0", path)
		}
	}
	return nil
}

// machine is what programs for this machine say, where it is known.
func machine() (elf.Machine, bool) {
	switch runtime.GOARCH {
	case "amd64":
		return elf.EM_X86_64, true
	case "arm64":
		return elf.EM_AARCH64, true
	}
	return elf.EM_NONE, false
}

// say tells people about a checkout.
func (c checkout) say(ctx context.Context, format string, args ...any) {
	harness.Say(ctx, "%s: "+format, append([]any{c.root}, args...)...)
}
