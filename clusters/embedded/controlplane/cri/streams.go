package cri

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"time"

	api "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

var errUnsupported = errors.New("not supported by the process runtime")

// serveStreams serves `kubectl exec` and `kubectl port-forward` beside the gRPC socket. The
// returned function stops the server.
func (s *server) serveStreams(
	ctx context.Context, address string,
) (stop func(), err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return nil, fmt.Errorf("listen for streams: %w", err)
	}
	config := streaming.DefaultConfig
	config.Addr = listener.Addr().String()
	s.streams, err = streaming.NewServer(config, streams{s})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make stream server: %w", err), listener.Close())
	}
	web := &http.Server{Handler: s.streams, ReadHeaderTimeout: 10 * time.Second}
	s.running.Go(func() { _ = web.Serve(listener) })
	return func() { _ = web.Close() }, nil
}

// Exec prepares an interactive program and returns where to reach it.
func (s *server) Exec(_ context.Context, request *api.ExecRequest) (*api.ExecResponse, error) {
	return s.streams.GetExec(request)
}

// PortForward prepares a forwarded port and returns where to reach it.
func (s *server) PortForward(
	_ context.Context, request *api.PortForwardRequest,
) (*api.PortForwardResponse, error) {
	return s.streams.GetPortForward(request)
}

// streams is the server as the streaming package wants it.
type streams struct{ server *server }

// Exec runs a program without a terminal.
func (s streams) Exec(
	ctx context.Context, id string, args []string, in io.Reader, out, errs io.WriteCloser,
	terminal bool, _ <-chan remotecommand.TerminalSize,
) error {
	if terminal {
		return fmt.Errorf("a terminal is %w: leave out -t", errUnsupported)
	}
	err := s.server.exec(ctx, id, args, in, out, errs)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return utilexec.CodeExitError{Err: err, Code: exit.ExitCode()}
	}
	return err
}

// Attach is not supported: a container's input is empty.
func (s streams) Attach(
	context.Context, string, io.Reader, io.WriteCloser, io.WriteCloser, bool,
	<-chan remotecommand.TerminalSize,
) error {
	return fmt.Errorf("attach is %w", errUnsupported)
}

// PortForward connects to a port of the pod's address.
func (s streams) PortForward(
	ctx context.Context, id string, port int32, stream io.ReadWriteCloser,
) error {
	if port < 1 || port > math.MaxUint16 {
		return fmt.Errorf("%d is no port", port)
	}
	s.server.mu.Lock()
	pod := s.server.sandboxes[id]
	s.server.mu.Unlock()
	if pod == nil {
		return missing("pod", id)
	}
	to := netip.AddrPortFrom(pod.address, uint16(port)).String()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", to)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	sent := make(chan error, 1)
	go func() {
		_, failed := io.Copy(conn, stream)
		sent <- errors.Join(failed, conn.(*net.TCPConn).CloseWrite())
	}()
	_, err = io.Copy(stream, conn)
	return errors.Join(err, stream.Close(), <-sent)
}
