package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/certquake/certquake/clusters/embedded/controlplane/contain"
)

// build makes the container's file system at spec.Root and moves into it: a root in memory
// that holds the program, the usual folders, and the mounts of the pod.
func build(spec contain.Spec) error {
	// Nothing we mount may travel back to the node; what the node unmounts may reach us.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("detach mounts: %w", err)
	}
	root := spec.Root
	if err := syscall.Mount("tmpfs", root, "tmpfs", syscall.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("mount root: %w", err)
	}
	for _, step := range []func(contain.Spec) error{system, devices, accounts, binds} {
		if err := step(spec); err != nil {
			return err
		}
	}
	if err := pivot(root); err != nil {
		return err
	}
	if !spec.ReadOnly {
		return nil
	}
	flags := uintptr(syscall.MS_REMOUNT | syscall.MS_BIND | syscall.MS_RDONLY | syscall.MS_NODEV)
	if err := syscall.Mount("", "/", "", flags, ""); err != nil {
		return fmt.Errorf("make root read-only: %w", err)
	}
	return nil
}

func system(spec contain.Spec) error {
	for _, dir := range []string{"proc", "dev/shm", "etc", "run", "var"} {
		if err := os.MkdirAll(filepath.Join(spec.Root, dir), 0o755); err != nil {
			return err
		}
	}
	tmp := filepath.Join(spec.Root, "tmp")
	if err := os.Mkdir(tmp, 0o777); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o777|os.ModeSticky); err != nil {
		return err
	}
	proc := filepath.Join(spec.Root, "proc")
	flags := uintptr(syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC)
	if err := syscall.Mount("proc", proc, "proc", flags, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// devices binds the harmless ones from the node: a user namespace cannot make device files.
func devices(spec contain.Spec) error {
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		device := "/dev/" + name
		if err := bind(spec.Root, contain.Mount{From: device, To: device}); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0",
		"stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, filepath.Join(spec.Root, "dev", name)); err != nil {
			return err
		}
	}
	return nil
}

func accounts(spec contain.Spec) error {
	id := fmt.Sprintf("%d:%d", spec.User, spec.Group)
	passwd, group := "root:x:0:0:root:/:/\n", "root:x:0:\n"
	if spec.User != 0 {
		passwd += "workload:x:" + id + ":workload:/:/\n"
	}
	if spec.Group != 0 {
		group += fmt.Sprintf("workload:x:%d:\n", spec.Group)
	}
	for name, text := range map[string]string{
		"passwd": passwd, "group": group, "hostname": spec.Hostname + "\n",
		"resolv.conf": spec.Resolv,
	} {
		path := filepath.Join(spec.Root, "etc", name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func binds(spec contain.Spec) error {
	program := contain.Mount{From: spec.Program, To: spec.Inside, ReadOnly: true}
	for _, mount := range append([]contain.Mount{program}, spec.Mounts...) {
		if err := bind(spec.Root, mount); err != nil {
			return err
		}
	}
	return nil
}

// bind mounts a file or a folder of the node. A folder is mounted as it is, so the symbolic
// links by which the kubelet swaps a volume's content keep working.
func bind(root string, mount contain.Mount) error {
	at := filepath.Join(root, mount.To)
	if err := target(mount.From, at); err != nil {
		return fmt.Errorf("make mount point %s: %w", mount.To, err)
	}
	err := syscall.Mount(mount.From, at, "", syscall.MS_BIND|syscall.MS_REC, "")
	if err != nil {
		return fmt.Errorf("mount %s: %w", mount.To, err)
	}
	if !mount.ReadOnly {
		return nil
	}
	// In a user namespace a remount must repeat the flags that the mount already has.
	var stat syscall.Statfs_t
	if err := syscall.Statfs(at, &stat); err != nil {
		return err
	}
	const keep = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC |
		syscall.MS_NOATIME | syscall.MS_NODIRATIME | syscall.MS_RELATIME
	flags := uintptr(stat.Flags&keep) | syscall.MS_BIND | syscall.MS_REMOUNT | syscall.MS_RDONLY
	if err := syscall.Mount("", at, "", flags, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", mount.To, err)
	}
	return nil
}

func target(from, at string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.MkdirAll(at, 0o755)
	}
	if err = os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(at, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return file.Close()
}

// pivot makes dir the root and lets go of the node's.
func pivot(dir string) error {
	if err := os.Chdir(dir); err != nil {
		return err
	}
	if err := syscall.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	if err := syscall.Unmount(".", syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the node's root: %w", err)
	}
	return os.Chdir("/")
}
