// Package cri is a container runtime whose containers are ordinary processes. It serves the
// kubelet's Container Runtime Interface: a pod is a network namespace with one address, a
// container a process in its own mount and process namespaces, an image name an executable of
// this machine. Call [Serve].
//
// It promises what rotation depends on: volumes are bind mounts of the kubelet's own folders,
// stopping is SIGTERM, a wait and SIGKILL, and logs have the format the kubelet reads. It
// keeps no state on disk: when the server ends, its containers must end with it.
package cri

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	api "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
)

// Config is what one node's server needs to know.
type Config struct {
	Socket  string
	Root    string // scratch folder of containers
	Init    string // executable of cmd/ctrinit
	Address string // of the node
	Pods    netip.Prefix
	Gateway netip.Addr        // by which pods reach the node
	Images  map[string]string // image name without tag: executable
	KeepIDs bool              // a user namespace with one id
}

// server holds the pods and containers of one node.
type server struct {
	api.UnimplementedRuntimeServiceServer
	api.UnimplementedImageServiceServer
	config  Config
	streams streaming.Server
	fail    context.CancelCauseFunc // ends the server: what follows would be no evidence
	running sync.WaitGroup          // goroutines that follow containers

	mu         sync.Mutex // guards what follows
	serial     int
	addresses  *addresses
	sandboxes  map[string]*sandbox
	containers map[string]*container
}

// Serve serves the node until ctx ends or a log cannot be written, then ends all its
// containers. It blocks.
func Serve(ctx context.Context, config Config) error {
	if err := os.MkdirAll(config.Root, 0o755); err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", config.Socket)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	s := &server{
		config: config, fail: fail, addresses: newAddresses(config.Pods),
		sandboxes: map[string]*sandbox{}, containers: map[string]*container{},
	}
	stopStreams, err := s.serveStreams(ctx, config.Address)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	rpc := grpc.NewServer()
	api.RegisterRuntimeServiceServer(rpc, s)
	api.RegisterImageServiceServer(rpc, s)
	stopped := context.AfterFunc(ctx, rpc.Stop)
	defer stopped()
	err = rpc.Serve(listener)
	stopStreams()
	s.killAll()
	s.running.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Version names the runtime as `kubectl get nodes -o wide` shows it.
func (s *server) Version(context.Context, *api.VersionRequest) (*api.VersionResponse, error) {
	return &api.VersionResponse{
		Version: "0.1.0", RuntimeName: "certquake-process", RuntimeVersion: "1.0.0",
		RuntimeApiVersion: "v1",
	}, nil
}

// Status is always ready: the server needs nothing that could be missing later.
func (s *server) Status(context.Context, *api.StatusRequest) (*api.StatusResponse, error) {
	return &api.StatusResponse{Status: &api.RuntimeStatus{Conditions: []*api.RuntimeCondition{
		{Type: api.RuntimeReady, Status: true}, {Type: api.NetworkReady, Status: true},
	}}}, nil
}

// UpdateRuntimeConfig accepts the pod range of the node, which the server already has.
func (s *server) UpdateRuntimeConfig(
	context.Context, *api.UpdateRuntimeConfigRequest,
) (*api.UpdateRuntimeConfigResponse, error) {
	return &api.UpdateRuntimeConfigResponse{}, nil
}

// newID returns an id that no other pod or container of this server has had. Callers hold mu.
func (s *server) newID(kind string) string {
	s.serial++
	return fmt.Sprintf("%s-%06d-%x", kind, s.serial, time.Now().UnixNano())
}

func missing(what, id string) error { return status.Errorf(codes.NotFound, "no %s %s", what, id) }

func failed(doing string, err error) error {
	return status.Errorf(codes.Internal, "%s: %v", doing, err)
}

// matches says whether labels carry everything a selector asks for.
func matches(selector, labels map[string]string) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return true
}
