package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/certquake/certquake/clusters/embedded/controlplane/contain"
)

// become drops privileges and replaces this program by the workload.
func become(spec contain.Spec) error {
	if err := confine(spec); err != nil {
		return err
	}
	if spec.Dir != "" {
		if err := os.Chdir(spec.Dir); err != nil {
			return fmt.Errorf("enter working folder: %w", err)
		}
	}
	program, err := find(spec)
	if err != nil {
		return err
	}
	if err := syscall.Exec(program, spec.Args, spec.Env); err != nil {
		return fmt.Errorf("run %s: %w", program, err)
	}
	return nil
}

func confine(spec contain.Spec) error {
	if !spec.Privileged {
		for number := range unix.CAP_LAST_CAP + 1 {
			if !slices.Contains(spec.Capabilities, number) {
				if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(number), 0, 0, 0); err != nil {
					return fmt.Errorf("drop capability %d: %w", number, err)
				}
			}
		}
	}
	if !spec.KeepIDs {
		if err := identify(spec); err != nil {
			return err
		}
	}
	if spec.NoNewPrivs {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("forbid new privileges: %w", err)
		}
	}
	return nil
}

// identify concerns the whole process; the thread that goes on is part of it.
func identify(spec contain.Spec) error {
	if err := syscall.Setgroups(spec.Groups); err != nil {
		return fmt.Errorf("set supplementary groups: %w", err)
	}
	if err := syscall.Setresgid(spec.Group, spec.Group, spec.Group); err != nil {
		return fmt.Errorf("set group %d: %w", spec.Group, err)
	}
	if err := syscall.Setresuid(spec.User, spec.User, spec.User); err != nil {
		return fmt.Errorf("set user %d: %w", spec.User, err)
	}
	return nil
}

// find looks the program up as a shell would, and says why a container holds so little.
func find(spec contain.Spec) (string, error) {
	name := spec.Args[0]
	if strings.Contains(name, "/") {
		if _, err := os.Stat(name); err != nil {
			return "", fmt.Errorf("%s is not in the image, which holds only %s", name, spec.Inside)
		}
		return name, nil
	}
	for _, dir := range []string{"/", "/usr/bin", "/bin"} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%q is not in the image, which holds only %s", name, spec.Inside)
}

// enter joins the container of pid and runs the spec's program there as a child, because a
// process cannot itself move into another process namespace.
func enter(spec contain.Spec, pid int) error {
	// A thread that shares its root with others may not change its mount namespace.
	if err := syscall.Unshare(syscall.CLONE_FS); err != nil {
		return fmt.Errorf("prepare to join container: %w", err)
	}
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("find container: %w", err)
	}
	const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS |
		unix.CLONE_NEWIPC | unix.CLONE_NEWPID
	if err = unix.Setns(process, namespaces); err != nil {
		return fmt.Errorf("join container: %w", err)
	}
	if err = confine(spec); err != nil {
		return err
	}
	program, err := find(spec)
	if err != nil {
		return err
	}
	child, err := os.StartProcess(program, spec.Args, &os.ProcAttr{
		Dir: spec.Dir, Env: spec.Env, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	})
	if err != nil {
		return fmt.Errorf("run %s: %w", program, err)
	}
	if err = syscall.Close(contain.ErrorFD); err != nil {
		return err
	}
	state, err := child.Wait()
	if err != nil {
		return err
	}
	status := state.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		os.Exit(128 + int(status.Signal()))
	}
	os.Exit(status.ExitStatus())
	return nil
}
