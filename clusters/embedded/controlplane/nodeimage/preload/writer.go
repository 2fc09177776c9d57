package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"runtime"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	image "github.com/opencontainers/image-spec/specs-go/v1"
)

// writer stores one layer and images that consist of it.
type writer struct {
	content content.Store
	images  images.Store

	stored   image.Descriptor // of the layer, compressed
	unpacked digest.Digest    // of the layer, not compressed
}

// layer compresses and stores the archive. Each node copies the store, so it had better be
// small; zstd costs the node a third of a second when it first unpacks it.
func (w *writer) layer(ctx context.Context, path string) error {
	archive, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = archive.Close() }() // it was only read
	var small bytes.Buffer
	unpacked := digest.Canonical.Digester()
	compress, err := zstd.NewWriter(&small)
	if err != nil {
		return err
	}
	if _, err = io.Copy(io.MultiWriter(compress, unpacked.Hash()), archive); err != nil {
		return err
	}
	if err = compress.Close(); err != nil {
		return err
	}
	w.unpacked = unpacked.Digest()
	w.stored, err = w.blob(ctx, image.MediaTypeImageLayerZstd, small.Bytes(), nil)
	return err
}

// image stores an image that starts the program, under its full name.
func (w *writer) image(ctx context.Context, program, name string) error {
	config, err := w.json(ctx, image.MediaTypeImageConfig, image.Image{
		Platform: image.Platform{OS: "linux", Architecture: runtime.GOARCH},
		Config: image.ImageConfig{
			Entrypoint: []string{program},
			Env: []string{
				"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			},
		},
		RootFS: image.RootFS{Type: "layers", DiffIDs: []digest.Digest{w.unpacked}},
	}, nil)
	if err != nil {
		return err
	}
	// Without these labels containerd's next collection of garbage takes what they name.
	keep := map[string]string{
		"containerd.io/gc.ref.content.config": config.Digest.String(),
		"containerd.io/gc.ref.content.l.0":    w.stored.Digest.String(),
	}
	target, err := w.json(ctx, image.MediaTypeImageManifest, image.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: image.MediaTypeImageManifest,
		Config:    config,
		Layers:    []image.Descriptor{w.stored},
	}, keep)
	if err != nil {
		return err
	}
	// The kubelet must not remove a pinned image when disk space is short: there is nowhere to
	// get it again.
	labels := map[string]string{
		"io.cri-containerd.image": "managed", "io.cri-containerd.pinned": "pinned",
	}
	_, err = w.images.Create(ctx, images.Image{Name: name, Target: target, Labels: labels})
	return err
}

func (w *writer) json(
	ctx context.Context, kind string, value any, labels map[string]string,
) (image.Descriptor, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return image.Descriptor{}, err
	}
	return w.blob(ctx, kind, text, labels)
}

// blob stores bytes; those that are there already are left alone.
func (w *writer) blob(
	ctx context.Context, kind string, data []byte, labels map[string]string,
) (image.Descriptor, error) {
	about := image.Descriptor{
		MediaType: kind, Digest: digest.FromBytes(data), Size: int64(len(data)),
	}
	var options []content.Opt
	if labels != nil {
		options = append(options, content.WithLabels(labels))
	}
	err := content.WriteBlob(
		ctx, w.content, about.Digest.String(), bytes.NewReader(data), about, options...)
	return about, err
}
