package cri

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	api "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/certquake/certquake/clusters/embedded/controlplane/contain"
)

// StartContainer returns when the workload's program runs, or says why it could not.
func (s *server) StartContainer(
	_ context.Context, request *api.StartContainerRequest,
) (*api.StartContainerResponse, error) {
	c, err := s.container(request.GetContainerId())
	if err != nil {
		return nil, err
	}
	spec, err := s.spec(c)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "describe container: %v", err)
	}
	if err := os.MkdirAll(c.root, 0o755); err != nil {
		return nil, failed("make container folder", err)
	}
	if c.log != nil {
		if err := c.log.open(); err != nil {
			return nil, failed("open log", err)
		}
	}
	if err := s.launch(c, spec); err != nil {
		c.neverStarted()
		return nil, status.Errorf(codes.FailedPrecondition, "%v", err)
	}
	return &api.StartContainerResponse{}, nil
}

// launch starts the container's first program and follows it until it ends.
func (s *server) launch(c *container, spec contain.Spec) error {
	path := filepath.Join(s.config.Root, c.id+".json")
	if err := spec.Write(path); err != nil {
		return err
	}
	command := &exec.Cmd{
		Path: s.config.Init, Args: []string{s.config.Init, "start", path},
		SysProcAttr: &syscall.SysProcAttr{
			Setsid: true,
			Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS |
				syscall.CLONE_NEWIPC,
		},
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	errs, err := command.StderrPipe()
	if err != nil {
		return err
	}
	if err := s.startIn(c.pod, command); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pid, c.started = command.Process.Pid, time.Now().UnixNano()
	c.state = api.ContainerState_CONTAINER_RUNNING
	s.running.Go(func() { c.follow(command, out, errs) })
	return nil
}

// neverStarted marks the container as ended: the kubelet backs off only from those.
func (c *container) neverStarted() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state, c.finished = api.ContainerState_CONTAINER_EXITED, time.Now().UnixNano()
	c.code, c.reason = 128, "StartError"
	c.log.close()
	close(c.ended)
}

// startIn starts ctrinit with the pod's network and waits until it has become the workload.
func (s *server) startIn(pod *sandbox, command *exec.Cmd) error {
	reported, err := s.begin(pod, command)
	if err != nil {
		return err
	}
	if reported == nil {
		return nil
	}
	return errors.Join(reported, ignoreExit(command.Wait()))
}

// begin starts ctrinit with the descriptors it expects and waits for its report, which is nil
// when the workload's program runs. Where err is nil the caller waits for the command's end.
func (s *server) begin(pod *sandbox, command *exec.Cmd) (reported, err error) {
	network, err := s.networkOf(pod)
	if err != nil {
		return nil, fmt.Errorf("open network: %w", err)
	}
	defer func() { _ = network.Close() }()
	report, reporter, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = report.Close() }()
	command.ExtraFiles = []*os.File{network, reporter} // contain.NetworkFD, contain.ErrorFD
	err = command.Start()
	if err = errors.Join(err, reporter.Close()); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	text, err := io.ReadAll(report)
	if err != nil {
		return fmt.Errorf("read report: %w", err), nil
	}
	if len(text) > 0 {
		return errors.New(string(text)), nil
	}
	return nil, nil
}

// networkOf returns a descriptor of the pod's network namespace that the caller closes.
func (s *server) networkOf(pod *sandbox) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pod.network == nil {
		return os.Open("/proc/self/ns/net")
	}
	fd, err := syscall.Dup(int(pod.network.namespace.Fd()))
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "network"), nil
}

// follow copies the output into the log and records the end.
func (c *container) follow(command *exec.Cmd, out, errs io.Reader) {
	var copying sync.WaitGroup
	copying.Go(func() { c.log.copy("stdout", out) })
	copying.Go(func() { c.log.copy("stderr", errs) })
	copying.Wait()
	err := command.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state, c.finished = api.ContainerState_CONTAINER_EXITED, time.Now().UnixNano()
	c.code, c.reason = outcome(err)
	c.log.close()
	close(c.ended)
}

// outcome renders an exit as container runtimes do: 128 plus the signal that killed it.
func outcome(err error) (code int32, reason string) {
	exit, failed := errors.AsType[*exec.ExitError](err)
	if !failed {
		if err != nil {
			return 255, "Error"
		}
		return 0, "Completed"
	}
	if state, ok := exit.Sys().(syscall.WaitStatus); ok && state.Signaled() {
		return 128 + int32(state.Signal()&0x7f), "Error"
	}
	return int32(exit.ExitCode() & 0xff), "Error"
}

func ignoreExit(err error) error {
	if _, exited := errors.AsType[*exec.ExitError](err); exited {
		return nil
	}
	return err
}
