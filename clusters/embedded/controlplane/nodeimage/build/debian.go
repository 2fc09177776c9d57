package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// release of Debian, whatever the machine has.
const release = "bookworm"

// packages of a node beyond Debian's smallest system.
func packages() []string {
	return []string{
		"systemd", "systemd-sysv", // init, and what stops it
		"runc", "containernetworking-plugins", // of containers
		"iptables", "nftables", "conntrack", "ethtool", "iproute2", "socat", // of networks
		"kmod", "mount", "util-linux", "e2fsprogs", // of volumes
		"procps", "jq", "ca-certificates", // for people, and for faults
	}
}

// left is what no node needs: caches, translations, manuals, and the services that Debian
// enables, among them updates.
func left() []string {
	return []string{
		"./dev/*", "./run/*", "./tmp/*", "./var/cache/*", "./var/log/*", "./var/lib/apt/lists/*",
		"./usr/share/locale/*", "./usr/share/man/*", "./usr/share/info/*",
		"./etc/systemd/system/*.wants/*", "./etc/hostname", "./etc/resolv.conf",
	}
}

func baseHash() string {
	text := fmt.Sprintf("%q %q %q %q", release, runtime.GOARCH, packages(), left())
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:16]
}

// installDebian installs Debian in the folder and packs it into the archive.
func installDebian(ctx context.Context, folder, archive string) error {
	mirror, err := machineMirror()
	if err != nil {
		return fmt.Errorf("read apt's sources: %w", err)
	}
	say("installing Debian %s: %s", release, strings.Join(packages(), ", "))
	args := []string{
		"--variant=minbase", "--include=" + strings.Join(packages(), ","), release, folder,
	}
	if mirror != "" {
		args = append(args, mirror)
	}
	install := program(ctx, "debootstrap", args...)
	// In a mount namespace of its own, what debootstrap mounts below the folder goes away with
	// it, and the folder can be removed, even if it is killed.
	install.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	if _, err := output(install); err != nil {
		log, _ := os.ReadFile(filepath.Join(folder, "debootstrap", "debootstrap.log"))
		return fmt.Errorf("%w\n%s\nis Debian's mirror reachable? it is debootstrap's own, "+
			"or the one in this machine's /etc/apt", err, tail(string(log), 15))
	}
	temporary := filepath.Join(filepath.Dir(folder), "debian.tar")
	pack := []string{
		"--create", "--file", temporary, "--directory", folder, "--numeric-owner", "--sort=name",
		"--wildcards",
	}
	for _, pattern := range left() {
		pack = append(pack, "--exclude="+pattern)
	}
	if _, err := output(program(ctx, "tar", append(pack, ".")...)); err != nil {
		return fmt.Errorf("pack Debian: %w", err)
	}
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	say("installed Debian %s", release)
	return os.Rename(temporary, archive)
}
