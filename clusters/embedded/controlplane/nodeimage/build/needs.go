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
	// archive. Go's own cache and Docker's images come on top.
	spaceMin = 4 * gigabyte
)

// needDocker says what to do if there is no Docker to load images into.
func needDocker(ctx context.Context) error {
	if _, err := exec.LookPath("docker"); err != nil {
		return errors.New("no docker: install it (Debian: apt-get install docker.io)")
	}
	const format = "{{.Server.Os}}/{{.Server.Arch}}"
	server, err := output(program(ctx, "docker", "version", "--format", format))
	if err != nil {
		return fmt.Errorf("no answer from Docker; start it, or be a user who may use it: %w", err)
	}
	if want := "linux/" + runtime.GOARCH; server != want {
		return fmt.Errorf("this is %s, but Docker runs %s: build where Docker runs", want, server)
	}
	return nil
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
