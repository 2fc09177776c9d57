package cri

import (
	"context"
	"debug/elf"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	api "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// imageName strips tag, digest and Docker Hub's implied prefixes: the map of images names
// programs, not versions of them.
func imageName(reference string) string {
	name, _, _ := strings.Cut(reference, "@")
	if colon := strings.LastIndex(name, ":"); colon > strings.LastIndex(name, "/") {
		name = name[:colon]
	}
	name = strings.TrimPrefix(name, "docker.io/")
	return strings.TrimPrefix(name, "library/")
}

// image returns nil also for a program that could not run: the kubelet then pulls, and so gets
// the reason from PullImage whatever the pull policy.
func (s *server) image(reference string) *api.Image {
	program := s.config.Images[imageName(reference)]
	if program == "" || runnable(program) != nil {
		return nil
	}
	return &api.Image{
		Id: imageName(reference), RepoTags: []string{reference}, Size: 1,
		Spec: &api.ImageSpec{Image: reference}, Uid: &api.Int64Value{},
	}
}

// ListImages lists the mapped names.
func (s *server) ListImages(
	context.Context, *api.ListImagesRequest,
) (*api.ListImagesResponse, error) {
	list := &api.ListImagesResponse{}
	for name := range s.config.Images {
		if image := s.image(name); image != nil {
			list.Images = append(list.Images, image)
		}
	}
	return list, nil
}

// ImageStatus answers with no image where none is mapped, as for one not pulled yet.
func (s *server) ImageStatus(
	_ context.Context, request *api.ImageStatusRequest,
) (*api.ImageStatusResponse, error) {
	return &api.ImageStatusResponse{Image: s.image(request.GetImage().GetImage())}, nil
}

// PullImage checks that the image is mapped to a program that can run alone. Its error is what
// `kubectl describe pod` shows below ErrImagePull.
func (s *server) PullImage(
	_ context.Context, request *api.PullImageRequest,
) (*api.PullImageResponse, error) {
	reference := request.GetImage().GetImage()
	name := imageName(reference)
	program, mapped := s.config.Images[name]
	if !mapped {
		return nil, status.Errorf(codes.NotFound, "image %q is mapped to no executable: add "+
			"{\"images\": {%q: \"/path/to/static/program\"}} to the cluster's configuration, or "+
			"use `certquake cluster up --image %s=/path/to/static/program`", reference, name, name)
	}
	if err := runnable(program); err != nil {
		return nil, status.Errorf(codes.FailedPrecondition, "image %q: %v", reference, err)
	}
	return &api.PullImageResponse{ImageRef: name}, nil
}

// runnable says why a program could not start in a root that holds nothing else.
func runnable(program string) error {
	file, err := elf.Open(program)
	if err != nil {
		return fmt.Errorf("%s is no executable of this machine: %w", program, err)
	}
	defer func() { _ = file.Close() }()
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			return fmt.Errorf("%s needs shared libraries, which containers here have not: "+
				"build it with CGO_ENABLED=0", program)
		}
	}
	return nil
}

// RemoveImage does nothing: the programs belong to the user.
func (s *server) RemoveImage(
	context.Context, *api.RemoveImageRequest,
) (*api.RemoveImageResponse, error) {
	return &api.RemoveImageResponse{}, nil
}

// ImageFsInfo reports next to no usage, so that the kubelet never collects images.
func (s *server) ImageFsInfo(
	context.Context, *api.ImageFsInfoRequest,
) (*api.ImageFsInfoResponse, error) {
	usage := []*api.FilesystemUsage{{
		Timestamp: time.Now().UnixNano(),
		FsId:      &api.FilesystemIdentifier{Mountpoint: s.config.Root},
		UsedBytes: &api.UInt64Value{Value: 1}, InodesUsed: &api.UInt64Value{Value: 1},
	}}
	return &api.ImageFsInfoResponse{
		ImageFilesystems: usage, ContainerFilesystems: usage,
	}, nil
}
