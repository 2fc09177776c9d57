package cri

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	api "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// container is one start of one program. Its life is created, running, exited; it never
// starts twice.
type container struct {
	id      string
	pod     *sandbox
	config  *api.ContainerConfig
	created int64
	root    string        // scratch folder
	log     *logFile      // nil without a log path
	ended   chan struct{} // closed on exit

	mu       sync.Mutex // guards what follows
	state    api.ContainerState
	pid      int
	started  int64
	finished int64
	code     int32
	reason   string
}

// CreateContainer only takes note; StartContainer does the work.
func (s *server) CreateContainer(
	_ context.Context, request *api.CreateContainerRequest,
) (*api.CreateContainerResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pod := s.sandboxes[request.GetPodSandboxId()]
	if pod == nil {
		return nil, missing("pod", request.GetPodSandboxId())
	}
	c := &container{
		id: s.newID("container"), pod: pod, config: request.GetConfig(),
		created: time.Now().UnixNano(), ended: make(chan struct{}),
	}
	c.root = filepath.Join(s.config.Root, c.id)
	if path := c.config.GetLogPath(); path != "" {
		c.log = &logFile{
			path: filepath.Join(pod.config.GetLogDirectory(), path), fail: s.fail,
		}
	}
	s.containers[c.id] = c
	return &api.CreateContainerResponse{ContainerId: c.id}, nil
}

func (s *server) container(id string) (*container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.containers[id]
	if c == nil {
		return nil, missing("container", id)
	}
	return c, nil
}

// StopContainer asks with SIGTERM (or the image's signal), waits as long as the request says,
// and then kills. It blocks until the container is gone.
func (s *server) StopContainer(
	ctx context.Context, request *api.StopContainerRequest,
) (*api.StopContainerResponse, error) {
	c, err := s.container(request.GetContainerId())
	if status.Code(err) == codes.NotFound {
		return &api.StopContainerResponse{}, nil
	}
	if request.GetTimeout() > 0 && c.signal(syscall.SIGTERM) {
		grace := time.NewTimer(time.Duration(request.GetTimeout()) * time.Second)
		defer grace.Stop()
		select {
		case <-c.ended:
		case <-grace.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	c.kill()
	return &api.StopContainerResponse{}, nil
}

// kill ends the container at once and waits for it. The kernel ends every process of the
// container with its first.
func (c *container) kill() {
	if c.signal(syscall.SIGKILL) {
		<-c.ended
	}
}

// signal reports whether there was a running process to signal.
func (c *container) signal(signal syscall.Signal) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == api.ContainerState_CONTAINER_RUNNING && syscall.Kill(c.pid, signal) == nil
}

func (s *server) killAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.containers {
		c.signal(syscall.SIGKILL)
	}
}

// RemoveContainer forgets the container and its log.
func (s *server) RemoveContainer(
	_ context.Context, request *api.RemoveContainerRequest,
) (*api.RemoveContainerResponse, error) {
	c, err := s.container(request.GetContainerId())
	if status.Code(err) == codes.NotFound {
		return &api.RemoveContainerResponse{}, nil
	}
	c.kill()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.containers, c.id)
	if err := os.RemoveAll(c.root); err != nil {
		return nil, failed("remove container", err)
	}
	return &api.RemoveContainerResponse{}, nil
}

// ListContainers lists the containers that pass the filter.
func (s *server) ListContainers(
	_ context.Context, request *api.ListContainersRequest,
) (*api.ListContainersResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := &api.ListContainersResponse{}
	for _, c := range s.containers {
		state, _ := c.describe()
		if c.passes(request.GetFilter(), state) {
			image := c.config.GetImage()
			list.Containers = append(list.Containers, &api.Container{
				Id: c.id, PodSandboxId: c.pod.id, Metadata: c.config.GetMetadata(),
				Image: image, ImageRef: image.GetImage(), ImageId: image.GetImage(),
				State: state, CreatedAt: c.created, Labels: c.config.GetLabels(),
				Annotations: c.config.GetAnnotations(),
			})
		}
	}
	return list, nil
}

func (c *container) passes(filter *api.ContainerFilter, state api.ContainerState) bool {
	if id := filter.GetId(); id != "" && id != c.id {
		return false
	}
	if pod := filter.GetPodSandboxId(); pod != "" && pod != c.pod.id {
		return false
	}
	if wanted := filter.GetState(); wanted != nil && wanted.GetState() != state {
		return false
	}
	return matches(filter.GetLabelSelector(), c.config.GetLabels())
}

// ContainerStatus returns all the kubelet shows of a container.
func (s *server) ContainerStatus(
	_ context.Context, request *api.ContainerStatusRequest,
) (*api.ContainerStatusResponse, error) {
	c, err := s.container(request.GetContainerId())
	if err != nil {
		return nil, err
	}
	_, full := c.describe()
	return &api.ContainerStatusResponse{Status: full}, nil
}

func (c *container) describe() (api.ContainerState, *api.ContainerStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	image := c.config.GetImage()
	full := &api.ContainerStatus{
		Id: c.id, Metadata: c.config.GetMetadata(), State: c.state, CreatedAt: c.created,
		StartedAt: c.started, FinishedAt: c.finished, ExitCode: c.code, Reason: c.reason,
		Image: image, ImageRef: image.GetImage(), ImageId: image.GetImage(),
		Labels: c.config.GetLabels(), Annotations: c.config.GetAnnotations(),
		Mounts: c.config.GetMounts(),
	}
	if c.log != nil {
		full.LogPath = c.log.path
	}
	return c.state, full
}

// ReopenContainerLog is called after the kubelet has moved the log away.
func (s *server) ReopenContainerLog(
	_ context.Context, request *api.ReopenContainerLogRequest,
) (*api.ReopenContainerLogResponse, error) {
	c, err := s.container(request.GetContainerId())
	if err != nil {
		return nil, err
	}
	if c.log != nil {
		if err := c.log.open(); err != nil {
			return nil, failed("reopen log", err)
		}
	}
	return &api.ReopenContainerLogResponse{}, nil
}

// UpdateContainerResources accepts any limit: there are no cgroups to write it to.
func (s *server) UpdateContainerResources(
	context.Context, *api.UpdateContainerResourcesRequest,
) (*api.UpdateContainerResourcesResponse, error) {
	return &api.UpdateContainerResourcesResponse{}, nil
}
