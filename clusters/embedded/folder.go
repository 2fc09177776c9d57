package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/certquake/certquake/clusters/programs"
)

// folderPrefix begins the names of the folders in that of temporary files.
const folderPrefix = "certquake-cluster-"

// lockName is the file whose lock the owner of a folder holds. A folder with a lock that nobody
// holds is left over; one without a lock was kept for people.
const lockName = "lock"

// folder is where one cluster has its kubeconfig and logs.
type folder struct {
	path string
	lock *os.File // nil in a folder that the caller chose
}

// openFolder makes the folder, or a fresh temporary one for "", and removes those that killed
// owners have left.
func openFolder(path string) (*folder, error) {
	if path != "" {
		return chosenFolder(path)
	}
	removeStale(os.TempDir())
	path, err := os.MkdirTemp("", folderPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a folder for the cluster: %w", err)
	}
	f := &folder{path: path}
	if err := f.own(); err != nil {
		return nil, errors.Join(fmt.Errorf("own the cluster's folder: %w", err), f.remove())
	}
	return f, nil
}

func chosenFolder(path string) (*folder, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the cluster's folder: %w", err)
	}
	if err = os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make a folder for the cluster: %w", err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's folder: %w", err)
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("the cluster's folder %s holds %s already", path, entries[0].Name())
	}
	return &folder{path: path}, nil
}

// own takes the lock before the file has its name, so that nobody finds it free.
func (f *folder) own() error {
	path := filepath.Join(f.path, lockName)
	//nolint:gosec // a new file in a folder of our own
	file, err := os.OpenFile(path+".new", os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	f.lock = file
	if _, err := programs.TryLock(file); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// remove removes the folder. It may be called again.
func (f *folder) remove() error {
	err := os.RemoveAll(f.path)
	f.release()
	return err
}

// keep leaves the folder to people, for good.
func (f *folder) keep() error {
	if f.lock == nil {
		return nil
	}
	err := os.Remove(filepath.Join(f.path, lockName))
	f.release()
	return err
}

func (f *folder) release() {
	if f.lock != nil {
		_ = f.lock.Close()
		f.lock = nil
	}
}

// hasLogs reports whether any part of the cluster has got as far as writing a log.
func (f *folder) hasLogs() bool {
	logs, err := os.ReadDir(filepath.Join(f.path, "logs"))
	return err == nil && len(logs) > 0
}

// removeStale removes folders of this user whose owner does not live. What cannot be removed is
// left for the next time.
func removeStale(temporary string) {
	// The error is of the pattern, which is right unless the folder's own name has brackets.
	paths, _ := filepath.Glob(filepath.Join(temporary, folderPrefix+"*"))
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err == nil && info.IsDir() && ours(info) {
			removeUnowned(path)
		}
	}
}

// removeUnowned removes the lock last, so that a folder that is half removed is found again.
func removeUnowned(path string) {
	//nolint:gosec // a file in a folder of this user's
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer func() { _ = lock.Close() }()
	if free, lockErr := programs.TryLock(lock); lockErr != nil || !free {
		return
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if entry.Name() == lockName {
			continue
		}
		if err := os.RemoveAll(filepath.Join(path, entry.Name())); err != nil {
			return
		}
	}
	_ = os.RemoveAll(path)
}
