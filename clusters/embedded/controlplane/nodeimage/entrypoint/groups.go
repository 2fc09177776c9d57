package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	groupRoot = "/sys/fs/cgroup"
	// unified exists where all controllers are in one hierarchy, cgroup v2.
	unified = groupRoot + "/cgroup.controllers"
	misc    = groupRoot + "/misc"
	// withoutMisc is what covers /proc/cgroups until systemd has read it.
	withoutMisc = "/kind/proc-cgroups"
)

// kubeletNames are the groups below which the kubelet works: kind configures /kubelet as its
// root, to which the systemd driver adds a suffix.
func kubeletNames() []string { return []string{"kubelet", "kubelet.slice"} }

// groups prepares control groups for systemd and the kubelet. kind waits for the line that
// says v1; on v2 it waits for systemd's own that the node is up.
func groups(context.Context) error {
	if exists(unified) {
		say("detected cgroup v2")
		return nil
	}
	say("detected cgroup v1")
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	if path := outsideGroup(string(text)); path != "" {
		return fmt.Errorf("the container sees the machine's control groups (%s): "+
			"it needs --cgroupns=private, which kind passes and Docker 20.10 understands", path)
	}
	if err = hideMisc(); err != nil {
		return fmt.Errorf("hide controller misc: %w", err)
	}
	err = unix.Mount("", groupRoot, "", unix.MS_PRIVATE|unix.MS_REC, "")
	if err != nil {
		return fmt.Errorf("make %s private: %w", groupRoot, err)
	}
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for _, hierarchy := range mountPoints(string(mountinfo), "cgroup") {
		for _, name := range kubeletNames() {
			if err := keepGroup(hierarchy, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// outsideGroup is the first group in the text of /proc/self/cgroup that is not a root, empty
// if all are: then the container has a namespace of control groups.
func outsideGroup(text string) string {
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) == 3 && fields[2] != "/" {
			return fields[2]
		}
	}
	return ""
}

// keepGroup makes a group in one hierarchy of v1. Bound to itself it is busy, so systemd does
// not remove it for being empty before the kubelet comes.
func keepGroup(hierarchy, name string) error {
	group := filepath.Join(hierarchy, name)
	if err := os.MkdirAll(group, 0o755); err != nil {
		return err
	}
	// No process can enter a group that has no processors or memory nodes.
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		parent, err := os.ReadFile(filepath.Join(hierarchy, file))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(group, file), parent, 0o644); err != nil {
			return err
		}
	}
	return bind(group, group)
}

// hideMisc takes the controller misc of v1 away until systemd runs, which would mount it:
// Debian's runc does not know it and leaves containers half inside.
func hideMisc() error {
	if !exists(misc) {
		return nil
	}
	if err := unix.Unmount(misc, 0); err != nil {
		return err
	}
	if err := os.Remove(misc); err != nil {
		return err
	}
	text, err := os.ReadFile("/proc/cgroups")
	if err != nil {
		return err
	}
	if err := os.WriteFile(withoutMisc, []byte(without(string(text), "misc")), 0o644); err != nil {
		return err
	}
	return bind(withoutMisc, "/proc/cgroups")
}

// without leaves out lines that begin with the word.
func without(text, word string) string {
	lines := slices.DeleteFunc(strings.SplitAfter(text, "\n"), func(line string) bool {
		first, _, _ := strings.Cut(line, "\t")
		return first == word
	})
	return strings.Join(lines, "")
}

// uncover shows the true /proc/cgroups again: while a part of /proc is covered, the kernel
// refuses a new /proc to pods with a user namespace.
func uncover() error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), " /proc/cgroups ") {
		return nil
	}
	return unix.Unmount("/proc/cgroups", 0)
}

// kubeletGroups makes the groups below which the kubelet works. On v2 they cannot be made
// earlier: only when systemd has moved itself out of the root group may that have controllers.
// On v1 only systemd's own hierarchy can be missing, where the machine runs without systemd.
func kubeletGroups() error {
	if !exists(unified) {
		return os.MkdirAll(filepath.Join(groupRoot, "systemd", "kubelet"), 0o755)
	}
	if err := delegate(groupRoot); err != nil {
		return err
	}
	for _, name := range kubeletNames() {
		group := filepath.Join(groupRoot, name)
		if err := os.MkdirAll(group, 0o755); err != nil {
			return err
		}
		if err := delegate(group); err != nil {
			return err
		}
	}
	return nil
}

// delegate gives all controllers of a group of v2 to the groups in it: the kubelet insists on
// every one, those too that systemd does not pass on.
func delegate(group string) error {
	controllers, err := os.ReadFile(filepath.Join(group, "cgroup.controllers"))
	if err != nil {
		return err
	}
	return os.WriteFile(
		filepath.Join(group, "cgroup.subtree_control"), []byte(enable(string(controllers))), 0o644)
}

func enable(controllers string) string {
	names := strings.Fields(controllers)
	for i, name := range names {
		names[i] = "+" + name
	}
	return strings.Join(names, " ")
}
