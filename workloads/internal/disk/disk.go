// Package disk makes folders as a kubelet makes mounted Secrets, for the tests of what reads them.
package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Project makes files the content of a mounted volume in the steps of the kubelet's AtomicWriter
// (pkg/volume/util/atomic_writer.go): it writes a new folder called ".." + version, swaps the
// ..data link by a rename, mends the visible links and removes the folder that was there before.
func Project(dir, version string, files map[string][]byte) error {
	link := filepath.Join(dir, "..data")
	old, _ := os.Readlink(link)
	folder := filepath.Join(dir, ".."+version)
	if err := os.Mkdir(folder, 0o755); err != nil { //nolint:gosec // as the kubelet's
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			return err
		}
	}
	if err := os.Symlink(".."+version, link+"_tmp"); err != nil {
		return err
	}
	if err := os.Rename(link+"_tmp", link); err != nil {
		return err
	}
	for name := range files {
		err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if old == "" {
		return nil
	}
	return os.RemoveAll(filepath.Join(dir, old))
}
