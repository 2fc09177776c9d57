package kind

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// netemModule is the kernel's queue that delays packets.
const netemModule = "sch_netem"

// lacksNetem reports whether the engine's kernel is known to be without the queue that delays
// packets: it is if it is this machine's, and that says so by its configuration or by the list of
// the modules that can be loaded. Of another one, or where the files say nothing, it is not known.
// The files are below root.
func (m machine) lacksNetem(root string) bool {
	release := readWord(filepath.Join(root, "proc/sys/kernel/osrelease"))
	if release == "" || release != m.KernelVersion {
		return false
	}
	if _, err := os.Stat(filepath.Join(root, "sys/module", netemModule)); err == nil {
		return false
	}
	config := unzipped(filepath.Join(root, "proc/config.gz"))
	switch {
	case strings.Contains(config, "\nCONFIG_NET_SCH_NETEM=y\n"):
		return false
	case config != "" && !strings.Contains(config, "\nCONFIG_NET_SCH_NETEM=m\n"):
		return true
	}
	modules := filepath.Join(root, "lib/modules", release)
	//nolint:gosec // of the kernel's
	loadable, err := os.ReadFile(filepath.Join(modules, "modules.dep"))
	if err != nil {
		return false // not known
	}
	//nolint:gosec // likewise
	builtin, err := os.ReadFile(filepath.Join(modules, "modules.builtin"))
	return err == nil && !strings.Contains(string(loadable)+string(builtin), "/"+netemModule+".ko")
}

// unzipped returns what is in a compressed file, nothing if it cannot be read.
func unzipped(path string) string {
	file, err := os.Open(path) //nolint:gosec // of the kernel's
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	unpacker, err := gzip.NewReader(file)
	if err != nil {
		return ""
	}
	text, err := io.ReadAll(unpacker)
	if err != nil {
		return ""
	}
	return string(text)
}
