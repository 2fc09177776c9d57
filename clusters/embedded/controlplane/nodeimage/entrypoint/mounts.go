package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// mounts makes /sys read-only, by which systemd knows that it is in a container and leaves
// devices alone, and shares all mounts, so that volumes mounted by the kubelet reach pods.
func mounts(context.Context) error {
	const sysFlags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	err := unix.Mount("", "/sys", "", unix.MS_REMOUNT|unix.MS_RDONLY|sysFlags, "")
	if err != nil {
		return fmt.Errorf("remount /sys read-only: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("share mounts: %w", err)
	}
	return nil
}

// bind shows the one path at the other.
func bind(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", from, to, err)
	}
	return nil
}

// mountPoints are those of file systems of a type, in the order of mounting, by the text of
// /proc/self/mountinfo: "ID PARENT DEVICE ROOT POINT OPTIONS FIELDS... - TYPE SOURCE SUPER".
func mountPoints(mountinfo, kind string) []string {
	var points []string
	for line := range strings.Lines(mountinfo) {
		before, after, found := strings.Cut(line, " - ")
		fields, super := strings.Fields(before), strings.Fields(after)
		if !found || len(fields) < 5 || len(super) == 0 || super[0] != kind {
			continue
		}
		points = append(points, fields[4])
	}
	return points
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
