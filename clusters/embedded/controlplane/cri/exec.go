package cri

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	api "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// execOutputMax bounds what an exec probe may print.
const execOutputMax = 1 << 20

// ExecSync runs a program in the container and returns its output and exit code.
func (s *server) ExecSync(
	ctx context.Context, request *api.ExecSyncRequest,
) (*api.ExecSyncResponse, error) {
	if request.GetTimeout() > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(request.GetTimeout())*time.Second)
		defer cancel()
	}
	var out, errs bytes.Buffer
	err := s.exec(ctx, request.GetContainerId(), request.GetCmd(), nil,
		&limited{to: &out, left: execOutputMax}, &limited{to: &errs, left: execOutputMax})
	if ctx.Err() != nil {
		return nil, status.Error(codes.DeadlineExceeded, "the program did not end in time")
	}
	response := &api.ExecSyncResponse{Stdout: out.Bytes(), Stderr: errs.Bytes()}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		response.ExitCode = int32(exit.ExitCode() & 0xff)
		return response, nil
	}
	if err != nil {
		return nil, failed("exec", err)
	}
	return response, nil
}

// exec returns an *exec.ExitError when the program ran and failed.
func (s *server) exec(
	ctx context.Context, id string, args []string, in io.Reader, out, errs io.Writer,
) error {
	c, err := s.container(id)
	if err != nil {
		return err
	}
	spec, err := s.spec(c)
	if err != nil {
		return err
	}
	c.mu.Lock()
	pid, running := c.pid, c.state == api.ContainerState_CONTAINER_RUNNING
	c.mu.Unlock()
	if !running {
		return status.Errorf(codes.FailedPrecondition, "container %s does not run", id)
	}
	spec.Args = args
	s.mu.Lock()
	path := filepath.Join(s.config.Root, s.newID("exec")+".json")
	s.mu.Unlock()
	if err := spec.Write(path); err != nil {
		return err
	}
	command := exec.CommandContext(ctx, s.config.Init, "exec", path, strconv.Itoa(pid))
	command.Stdin, command.Stdout, command.Stderr = in, out, errs
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// The program is a child of ctrinit: end both, by their group.
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = time.Second
	return s.runIn(c.pod, command)
}

// runIn runs ctrinit to its end, and prefers its report to its exit code.
func (s *server) runIn(pod *sandbox, command *exec.Cmd) error {
	reported, err := s.begin(pod, command)
	if err != nil {
		return err
	}
	if ended := command.Wait(); reported == nil {
		return ended
	}
	return reported
}

// limited keeps what fits and drops the rest without complaint.
type limited struct {
	to   io.Writer
	left int
}

func (l *limited) Write(text []byte) (int, error) {
	keep := text[:min(len(text), l.left)]
	l.left -= len(keep)
	if _, err := l.to.Write(keep); err != nil {
		return 0, err
	}
	return len(text), nil
}
