// Entrypoint makes a container into a node that systemd can run, and then becomes systemd. It
// does what kind expects of a node image before init, each time the container starts: mounts,
// control groups, an identity of its own, DNS that pods can reach, and the node's new address
// after a restart.
//
//	entrypoint /sbin/init     first process of the container
//	entrypoint cgroups        before each start of the kubelet: the groups it works in
//	entrypoint uncover        before each start of containerd: see hideMisc
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// startMax bounds everything that is done before systemd, most of it other programs.
const startMax = time.Minute

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: entrypoint cgroups|uncover|INIT [ARG...]")
		os.Exit(2)
	}
	var err error
	switch os.Args[1] {
	case "cgroups":
		err = kubeletGroups()
	case "uncover":
		err = uncover()
	default:
		err = start(os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "entrypoint:", err)
		os.Exit(1)
	}
}

// start prepares the container and replaces this process by init.
func start(init []string) error {
	if err := prepare(); err != nil {
		return err
	}
	say("starting %s", init[0])
	return fmt.Errorf("exec %s: %w", init[0], syscall.Exec(init[0], init, os.Environ()))
}

// prepare does the steps in an order that matters: what is mounted below / is shared with it,
// and a certificate for a new address is made with the DNS of the new container.
func prepare() error {
	ctx, cancel := context.WithTimeout(context.Background(), startMax)
	defer cancel()
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"user namespace", refuseUserNamespace},
		{"watches", needWatches},
		{"mounts", mounts},
		{"control groups", groups},
		{"identity", identity},
		{"container runtime", containerRuntime},
		{"proxy", proxy},
		{"DNS", dns},
		{"address", address},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// refuseUserNamespace says at once what would fail later and darkly.
func refuseUserNamespace(context.Context) error {
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return err
	}
	var inside, outside, count uint64
	if _, err := fmt.Sscan(string(text), &inside, &outside, &count); err != nil {
		return fmt.Errorf("read uid_map: %w", err)
	}
	if outside != 0 || count != 1<<32-1 {
		return errors.New("this image does not run in a rootless engine or a user namespace")
	}
	return nil
}

// watchesMin is what a worker takes, half of it the kubelet.
const watchesMin = 14

// needWatches looks whether the machine has enough inotify instances left, which all containers
// share. Without, systemd ends at once, or the kubelet and kube-proxy later, with a message
// that tells nobody what to do.
func needWatches(context.Context) error {
	var opened []int
	defer func() {
		for _, one := range opened {
			_ = unix.Close(one) // there is nothing in it
		}
	}()
	for range watchesMin {
		one, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		if errors.Is(err, unix.EMFILE) {
			return fmt.Errorf("fewer than %d inotify instances are left on this machine; "+
				"on it: sysctl fs.inotify.max_user_instances=1024", watchesMin)
		}
		if err != nil {
			return err
		}
		opened = append(opened, one)
	}
	return nil
}

// say writes to the container's log, which kind reads.
func say(format string, args ...any) { fmt.Printf("entrypoint: "+format+"\n", args...) }
