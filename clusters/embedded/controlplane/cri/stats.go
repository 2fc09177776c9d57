package cri

import (
	"context"

	api "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The kubelet asks for statistics again and again; nobody accounts for processes here, so the
// answers are empty instead of errors that would fill its log.

// ListContainerStats returns nothing.
func (s *server) ListContainerStats(
	context.Context, *api.ListContainerStatsRequest,
) (*api.ListContainerStatsResponse, error) {
	return &api.ListContainerStatsResponse{}, nil
}

// ListPodSandboxStats returns nothing.
func (s *server) ListPodSandboxStats(
	context.Context, *api.ListPodSandboxStatsRequest,
) (*api.ListPodSandboxStatsResponse, error) {
	return &api.ListPodSandboxStatsResponse{}, nil
}

// ListMetricDescriptors returns nothing.
func (s *server) ListMetricDescriptors(
	context.Context, *api.ListMetricDescriptorsRequest,
) (*api.ListMetricDescriptorsResponse, error) {
	return &api.ListMetricDescriptorsResponse{}, nil
}

// ListPodSandboxMetrics returns nothing.
func (s *server) ListPodSandboxMetrics(
	context.Context, *api.ListPodSandboxMetricsRequest,
) (*api.ListPodSandboxMetricsResponse, error) {
	return &api.ListPodSandboxMetricsResponse{}, nil
}
