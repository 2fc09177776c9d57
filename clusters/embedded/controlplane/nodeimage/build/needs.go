package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

const (
	gigabyte = 1 << 30
	// spaceMin is what a build takes in the cache: Debian twice, the programs twice, the
	// archive. Go's own cache and the engine's images come on top.
	spaceMin = 4 * gigabyte
)

// needEngine finds the engine to load images into, or says what to do if there is none.
func needEngine(ctx context.Context) (engine, error) {
	found, err := findEngine(ctx)
	if err != nil {
		return "", err
	}
	runs, err := found.platform(ctx)
	if err != nil {
		return "", fmt.Errorf("no answer from %s; start it, or be a user who may use it: %w", found,
			err)
	}
	if want := "linux/" + runtime.GOARCH; runs != want {
		return "", fmt.Errorf("this is %s, but %s runs %s: build where it runs", want, found, runs)
	}
	return found, nil
}

// needToBuild says what to do if nothing can be built here, and installs debootstrap.
func needToBuild(ctx context.Context, folder string) error {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return errors.New("debootstrap needs root on Linux: " +
			`sudo env "PATH=$PATH" "HOME=$HOME" make node-image`)
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(folder, &disk); err != nil {
		return err
	}
	if free := float64(disk.Bavail) * float64(disk.Bsize); free < spaceMin {
		return fmt.Errorf("%.1f GB are free for %s, a build takes %d: make room, or set "+
			"XDG_CACHE_HOME", free/gigabyte, folder, spaceMin/gigabyte)
	}
	if _, err := exec.LookPath("debootstrap"); err == nil {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("no debootstrap, and no apt-get to install it with: install debootstrap")
	}
	say("installing debootstrap")
	install := program(ctx, "apt-get", "install", "--yes", "--no-install-recommends", "debootstrap")
	if _, err := output(install); err != nil {
		return fmt.Errorf("install debootstrap: %w", err)
	}
	return nil
}
