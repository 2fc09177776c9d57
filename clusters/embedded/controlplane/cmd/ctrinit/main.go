// Ctrinit is the first program of every container. `ctrinit start SPEC` builds the container
// around itself and becomes the workload; `ctrinit exec SPEC PID` runs another program in the
// container whose first process is PID. It is small and static because one is started for each
// container and each exec probe.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/certquake/certquake/clusters/embedded/controlplane/contain"
)

func main() {
	runtime.LockOSThread() // namespaces belong to the thread, and exec keeps those of its caller
	syscall.CloseOnExec(contain.ErrorFD)
	if err := run(os.Args[1:]); err != nil {
		report := os.NewFile(contain.ErrorFD, "error")
		_, _ = fmt.Fprint(report, err)
		os.Exit(127)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: ctrinit start SPEC | ctrinit exec SPEC PID")
	}
	spec, err := contain.Read(args[1])
	if err != nil {
		return fmt.Errorf("read spec: %w", err)
	}
	if err = os.Remove(args[1]); err != nil {
		return fmt.Errorf("remove spec: %w", err)
	}
	if args[0] == "start" {
		return start(spec)
	}
	pid, err := strconv.Atoi(args[len(args)-1])
	if err != nil {
		return fmt.Errorf("read pid: %w", err)
	}
	return enter(spec, pid)
}

// start does not return unless something fails.
func start(spec contain.Spec) error {
	if err := unix.Setns(contain.NetworkFD, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("join network of the pod: %w", err)
	}
	if err := syscall.Close(contain.NetworkFD); err != nil {
		return err
	}
	if err := build(spec); err != nil {
		return err
	}
	if err := syscall.Sethostname([]byte(spec.Hostname)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	return become(spec)
}
