// Package cluster starts, watches and ends all processes of one cluster. [Run] is called
// outside and re-executes the program as the first process of its own network, mount, process,
// host name and IPC namespaces; there [Inside] takes over. The kernel ends every process of the
// cluster with that first one, so nothing can be left, however the harness ends.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
)

// ErrNoNamespaces wraps every refusal of the kernel to isolate the cluster.
var ErrNoNamespaces = errors.New("this machine does not let the cluster have its own namespaces")

// Run starts the cluster and returns its exit code when it has ended. The cluster inherits the
// three standard streams; its protocol is described in the README. A listener on the loopback
// of the outside is handed in, by which the API server can be reached from here.
func Run(ctx context.Context, config string) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 1, fmt.Errorf("listen on loopback: %w", err)
	}
	defer func() { _ = listener.Close() }()
	front, err := listener.(*net.TCPListener).File()
	if err != nil {
		return 1, fmt.Errorf("hand over listener: %w", err)
	}
	defer func() { _ = front.Close() }()
	// The kernel ends the cluster with the thread that started it: stay on this one.
	runtime.LockOSThread()
	command, err := isolate(config, front)
	if err != nil {
		return 1, err
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	ended, cancel := context.WithCancel(ctx)
	forwarded := make(chan struct{})
	go func() {
		defer close(forwarded)
		forward(ended, signals, command.Process)
	}()
	err = command.Wait()
	cancel()
	<-forwarded
	if _, exited := errors.AsType[*exec.ExitError](err); exited {
		return max(command.ProcessState.ExitCode(), 1), nil
	}
	return 0, err
}

func forward(ended context.Context, signals <-chan os.Signal, to *os.Process) {
	for {
		select {
		case <-signals:
			_ = to.Signal(syscall.SIGTERM)
		case <-ended.Done():
			return
		}
	}
}

// isolate starts the inside: as root directly, and else (or where root lacks the right, as in
// many containers) in a user namespace.
func isolate(config string, front *os.File) (*exec.Cmd, error) {
	var refusal error
	for _, user := range []bool{false, true} {
		if os.Geteuid() != 0 && !user {
			continue
		}
		command := own("inside", "-config", config,
			fmt.Sprintf("-user-namespace=%t", user))
		command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
		command.ExtraFiles = []*os.File{front}
		command.SysProcAttr = namespaces(user)
		err := command.Start()
		if err == nil {
			return command, nil
		}
		refusal = err
	}
	return nil, refused(refusal)
}

func namespaces(user bool) *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
			syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig: syscall.SIGKILL,
	}
	if user {
		attributes.Cloneflags |= syscall.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return attributes
}

// refused adds the kernel setting to change, where one explains the refusal.
func refused(err error) error {
	for _, setting := range []struct{ name, forbids, allows string }{
		{"user.max_user_namespaces", "0", "15000"},
		{"kernel.unprivileged_userns_clone", "0", "1"},
		{"kernel.apparmor_restrict_unprivileged_userns", "1", "0"},
	} {
		path := "/proc/sys/" + strings.ReplaceAll(setting.name, ".", "/")
		value, unread := os.ReadFile(path)
		if unread == nil && strings.TrimSpace(string(value)) == setting.forbids {
			return fmt.Errorf("%w: %w (%s is %s: run as root, or `sysctl -w %s=%s`)",
				ErrNoNamespaces, err, setting.name, setting.forbids, setting.name, setting.allows)
		}
	}
	return fmt.Errorf("%w: %w (run as root, or allow user namespaces)", ErrNoNamespaces, err)
}
