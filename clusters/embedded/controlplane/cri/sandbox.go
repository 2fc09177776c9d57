package cri

import (
	"context"
	"net/netip"
	"os"
	"time"

	api "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// sandbox is a pod: an address and a network namespace that its containers share.
type sandbox struct {
	id      string
	config  *api.PodSandboxConfig
	created int64
	state   api.PodSandboxState
	address netip.Addr
	network *network // nil when the pod uses the node's
}

// RunPodSandbox gives the pod its network.
func (s *server) RunPodSandbox(
	_ context.Context, request *api.RunPodSandboxRequest,
) (*api.RunPodSandboxResponse, error) {
	config := request.GetConfig()
	if config.GetLogDirectory() != "" {
		if err := os.MkdirAll(config.GetLogDirectory(), 0o755); err != nil {
			return nil, failed("make log folder", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	pod := &sandbox{id: s.newID("pod"), config: config, created: time.Now().UnixNano()}
	if err := s.connect(pod); err != nil {
		return nil, failed("connect pod", err)
	}
	s.sandboxes[pod.id] = pod
	return &api.RunPodSandboxResponse{PodSandboxId: pod.id}, nil
}

// connect must leave the pod with an address in any case: the kubelet would otherwise kill and
// remake it for ever.
func (s *server) connect(pod *sandbox) error {
	options := pod.config.GetLinux().GetSecurityContext().GetNamespaceOptions()
	if options.GetNetwork() == api.NamespaceMode_NODE {
		address, err := netip.ParseAddr(s.config.Address)
		pod.address = address
		return err
	}
	address, err := s.addresses.take()
	if err != nil {
		return err
	}
	pod.network, err = newNetwork(address, s.config.Gateway)
	if err != nil {
		s.addresses.release(address)
		return err
	}
	pod.address = address
	return nil
}

// StopPodSandbox ends the containers at once (the kubelet has let them end before) and takes
// the network down.
func (s *server) StopPodSandbox(
	_ context.Context, request *api.StopPodSandboxRequest,
) (*api.StopPodSandboxResponse, error) {
	s.mu.Lock()
	pod := s.sandboxes[request.GetPodSandboxId()]
	var inside []*container
	for _, c := range s.containers {
		if c.pod == pod {
			inside = append(inside, c)
		}
	}
	s.mu.Unlock()
	for _, c := range inside {
		c.kill()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if pod == nil || pod.state == api.PodSandboxState_SANDBOX_NOTREADY {
		return &api.StopPodSandboxResponse{}, nil
	}
	pod.state = api.PodSandboxState_SANDBOX_NOTREADY
	if pod.network != nil {
		if err := pod.network.close(); err != nil {
			return nil, failed("disconnect pod", err)
		}
		pod.network = nil
		s.addresses.release(pod.address)
	}
	return &api.StopPodSandboxResponse{}, nil
}

// RemovePodSandbox forgets the pod and its containers.
func (s *server) RemovePodSandbox(
	ctx context.Context, request *api.RemovePodSandboxRequest,
) (*api.RemovePodSandboxResponse, error) {
	id := request.GetPodSandboxId()
	_, err := s.StopPodSandbox(ctx, &api.StopPodSandboxRequest{PodSandboxId: id})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, c := range s.containers {
		if c.pod.id == id {
			delete(s.containers, name)
		}
	}
	delete(s.sandboxes, id)
	return &api.RemovePodSandboxResponse{}, nil
}

// PodSandboxStatus returns the pod's state and address.
func (s *server) PodSandboxStatus(
	_ context.Context, request *api.PodSandboxStatusRequest,
) (*api.PodSandboxStatusResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pod := s.sandboxes[request.GetPodSandboxId()]
	if pod == nil {
		return nil, missing("pod", request.GetPodSandboxId())
	}
	options := pod.config.GetLinux().GetSecurityContext().GetNamespaceOptions()
	return &api.PodSandboxStatusResponse{Status: &api.PodSandboxStatus{
		Id: pod.id, Metadata: pod.config.GetMetadata(), State: pod.state,
		CreatedAt: pod.created, Labels: pod.config.GetLabels(),
		Annotations: pod.config.GetAnnotations(),
		Network:     &api.PodSandboxNetworkStatus{Ip: pod.address.String()},
		Linux: &api.LinuxPodSandboxStatus{
			Namespaces: &api.Namespace{Options: options},
		},
	}}, nil
}

// ListPodSandbox lists the pods that pass the filter.
func (s *server) ListPodSandbox(
	_ context.Context, request *api.ListPodSandboxRequest,
) (*api.ListPodSandboxResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := &api.ListPodSandboxResponse{}
	for _, pod := range s.sandboxes {
		if pod.passes(request.GetFilter()) {
			list.Items = append(list.Items, &api.PodSandbox{
				Id: pod.id, Metadata: pod.config.GetMetadata(), State: pod.state,
				CreatedAt: pod.created, Labels: pod.config.GetLabels(),
				Annotations: pod.config.GetAnnotations(),
			})
		}
	}
	return list, nil
}

func (p *sandbox) passes(filter *api.PodSandboxFilter) bool {
	if id := filter.GetId(); id != "" && id != p.id {
		return false
	}
	if state := filter.GetState(); state != nil && state.GetState() != p.state {
		return false
	}
	return matches(filter.GetLabelSelector(), p.config.GetLabels())
}
