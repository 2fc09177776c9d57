package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	runtimeConfig = "/etc/containerd/config.toml"
	proxyConfig   = "/etc/systemd/system.conf.d/proxy.conf"
	zfs           = 0x2fc12fc1 // magic number of the file system
)

// containerRuntime fits containerd's configuration to what this container may do.
func containerRuntime(context.Context) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	text, err := os.ReadFile(runtimeConfig)
	if err != nil {
		return err
	}
	mayRaise, err := capable(string(status), unix.CAP_SYS_RESOURCE)
	if err != nil {
		return err
	}
	if !mayRaise {
		say("no CAP_SYS_RESOURCE: containers are not protected from running out of memory")
	}
	snapshotter, err := snapshotter()
	if err != nil {
		return err
	}
	configured := configure(string(text), !mayRaise, snapshotter)
	return os.WriteFile(runtimeConfig, []byte(configured), 0o644)
}

// capable says whether processes may ever have a capability, by the text of
// /proc/self/status.
func capable(status string, capability int) (bool, error) {
	for line := range strings.Lines(status) {
		if name, value, _ := strings.Cut(line, ":"); name == "CapBnd" {
			bits, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			return bits>>capability&1 == 1, err
		}
	}
	return false, errors.New("no CapBnd in /proc/self/status")
}

// snapshotter is the one that kind was told, or one that works on this file system: overlays
// do not on all versions of ZFS. Empty means that of the configuration.
func snapshotter() (string, error) {
	if told := os.Getenv("KIND_EXPERIMENTAL_CONTAINERD_SNAPSHOTTER"); told != "" {
		return told, nil
	}
	var about unix.Statfs_t
	if err := unix.Statfs("/kind", &about); err != nil {
		return "", err
	}
	if about.Type == zfs {
		return "native", nil
	}
	return "", nil
}

// configure sets two values in the text of containerd's configuration. restrict keeps
// containerd from asking for more protection against the kernel's memory killer than it may
// pass on, which fails without CAP_SYS_RESOURCE.
func configure(text string, restrict bool, snapshotter string) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		key, _, found := strings.Cut(line, "=")
		if !found {
			continue
		}
		switch strings.TrimSpace(key) {
		case "restrict_oom_score_adj":
			lines[i] = fmt.Sprintf("%s= %t\n", key, restrict)
		case "snapshotter":
			if snapshotter != "" {
				lines[i] = fmt.Sprintf("%s= %q\n", key, snapshotter)
			}
		}
	}
	return strings.Join(lines, "")
}

// proxy passes kind's proxy settings to systemd's services, which do not inherit them.
func proxy(context.Context) error {
	var settings []string
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		if value := os.Getenv(name); value != "" {
			settings = append(settings, strconv.Quote(name+"="+value))
		}
	}
	if settings == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(proxyConfig), 0o755); err != nil {
		return err
	}
	text := "[Manager]\nDefaultEnvironment=" + strings.Join(settings, " ") + "\n"
	return os.WriteFile(proxyConfig, []byte(text), 0o644)
}
