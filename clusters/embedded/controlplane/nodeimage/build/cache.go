package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// cache is the folder of archives, which one process at a time works in.
type cache struct {
	folder string
	hash   string
	lock   *os.File
}

// openCache makes the folder and locks it. Files appear in it whole, by being renamed; what a
// killed process has left is removed here.
func openCache(hash string) (*cache, error) {
	user, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find cache: %w; set XDG_CACHE_HOME", err)
	}
	folder := filepath.Join(user, "certquake", "node-image")
	if err = os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.Create(filepath.Join(folder, "lock"))
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(
			fmt.Errorf("another process works in %s: try again when it is done", folder),
			lock.Close())
	}
	cache := &cache{folder: folder, hash: hash, lock: lock}
	return cache, cache.remove(filepath.Join(folder, "work-*"))
}

// close unlocks the folder.
func (c *cache) close() { _ = c.lock.Close() } // nothing was written to it

func (c *cache) archive() string { return filepath.Join(c.folder, c.hash+".tar") }

// base is Debian, which changes less often than the rest.
func (c *cache) base() string {
	return filepath.Join(c.folder, "debian-"+baseHash()+".tar")
}

// newWork makes a folder for what is only needed while building.
func (c *cache) newWork() (string, error) { return os.MkdirTemp(c.folder, "work-") }

// removeOld removes archives of other inputs. They cost no more than space, so it does not
// matter if that fails.
func (c *cache) removeOld() {
	paths, _ := filepath.Glob(filepath.Join(c.folder, "*.tar"))
	for _, path := range paths {
		if path != c.archive() && path != c.base() {
			say("removing %s", path)
			_ = os.Remove(path)
		}
	}
}

func (c *cache) remove(pattern string) error {
	paths, err := filepath.Glob(pattern)
	for _, path := range paths {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
