// Package image makes container images of single static executables, such as the workload program,
// without Docker, a Dockerfile or a base image. Call Build for the workload's image, then Ref for
// its name, and WriteDocker or WriteOCI for an archive that container runtimes import.
//
// An image is a function of its program alone: the same bytes give the same digests, wherever and
// whenever that is.
package image

import (
	"archive/tar"
	"bytes"
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/certquake/certquake/clusters/programs"
)

// Repository is the name of the workload's image, without a tag.
const Repository = "certquake/workload"

// nonroot is the user of every image, "nonroot" of distroless images.
const nonroot = 65532

// tagLength is how many hex digits of the configuration's digest are the tag.
const tagLength = 12

// Build returns the image of the workload program, which Ref names.
func Build(program string) (v1.Image, error) {
	return build(program, "/"+programs.WorkloadName, map[string]string{
		labelTitle:       "certquake workload",
		labelDescription: "The mutual-TLS peer in the pods of certquake's runs",
		labelSource:      "https://github.com/certquake/certquake",
		labelLicenses:    "Apache-2.0",
	})
}

// Named returns an image of any static executable under a name of the caller's, and that name in
// full, as WriteDocker and WriteOCI take it. A name without a tag means latest, as everywhere:
// pods that are to use what was imported then need an imagePullPolicy that is not Always.
func Named(reference, program string) (ref string, img v1.Image, err error) {
	tag, err := name.NewTag(reference)
	if err != nil {
		return "", nil, fmt.Errorf("%q is no name for an image: %w", reference, err)
	}
	inside := "/" + filepath.Base(program)
	if inside == "/etc" || inside == "/tmp" {
		return "", nil, fmt.Errorf("%s would lie at %s, which is a folder in images: rename it",
			program, inside)
	}
	img, err = build(program, inside, map[string]string{labelTitle: tag.RepositoryStr()})
	return Canonical(tag), img, err
}

// Ref returns the name of a workload image. Its tag tells images apart and is never latest, so
// that a node which has the image does not look for it elsewhere.
func Ref(img v1.Image) (string, error) {
	digest, err := img.ConfigName()
	if err != nil {
		return "", fmt.Errorf("name the image: %w", err)
	}
	return Repository + ":" + digest.Hex[:tagLength], nil
}

// The labels of images, as the OCI's image specification names them.
const (
	labelTitle       = "org.opencontainers.image.title"
	labelDescription = "org.opencontainers.image.description"
	labelSource      = "org.opencontainers.image.source"
	labelLicenses    = "org.opencontainers.image.licenses"
	labelVersion     = "org.opencontainers.image.version"
	labelRevision    = "org.opencontainers.image.revision"
)

// build returns an image with the program in it at the path inside.
func build(program, inside string, labels map[string]string) (v1.Image, error) {
	about, err := programs.Read(program)
	if err != nil {
		return nil, fmt.Errorf("make an image: %w", err)
	}
	if err = about.Alone(); err != nil {
		return nil, fmt.Errorf("make an image: %w", err)
	}
	arch, err := about.Arch()
	if err != nil {
		return nil, fmt.Errorf("make an image: %w", err)
	}
	text, err := os.ReadFile(program) //nolint:gosec // the program the caller named
	if err != nil {
		return nil, fmt.Errorf("make an image: %w", err)
	}
	layer, err := layerOf(inside, text)
	if err != nil {
		return nil, fmt.Errorf("make an image of %s: %w", program, err)
	}
	describe(labels, text)
	img, err := assemble(layer, &v1.ConfigFile{
		Architecture: arch, OS: "linux", Created: v1.Time{Time: epoch()},
		RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User: fmt.Sprintf("%d:%d", nonroot, nonroot), Entrypoint: []string{inside},
			Env: []string{"PATH=/"}, WorkingDir: "/", Labels: labels,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make an image of %s: %w", program, err)
	}
	return img, nil
}

// assemble returns the image of one layer, in the OCI's own types.
func assemble(layer v1.Layer, config *v1.ConfigFile) (v1.Image, error) {
	base := mutate.ConfigMediaType(
		mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.ConfigFile(base, config)
	if err != nil {
		return nil, err
	}
	return mutate.Append(img, mutate.Addendum{
		Layer:   layer,
		History: v1.History{CreatedBy: "certquake image", Created: v1.Time{Time: epoch()}},
	})
}

// epoch is when everything in an image was made.
func epoch() time.Time { return time.Unix(0, 0).UTC() }

// describe adds what the go command wrote into the program, if it is one of Go's.
func describe(labels map[string]string, program []byte) {
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return // not of Go, or without
	}
	if info.Main.Version != "" {
		labels[labelVersion] = info.Main.Version
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			labels[labelRevision] = setting.Value
		}
	}
}

// layerOf returns the layer with the program and what else programs look for: names for the user,
// and a place for temporary files.
func layerOf(inside string, program []byte) (v1.Layer, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, entry := range []struct {
		path string
		mode int64
		text []byte
	}{
		{"etc/", 0o755, nil},
		{"etc/group", 0o444, fmt.Appendf(nil, "root:x:0:\nnonroot:x:%d:\n", nonroot)},
		{"etc/passwd", 0o444, fmt.Appendf(nil, "root:x:0:0:root:/:/sbin/nologin\n"+
			"nonroot:x:%d:%[1]d:nonroot:/:/sbin/nologin\n", nonroot)},
		{"tmp/", 0o1777, nil},
		{path.Clean(inside)[1:], 0o555, program},
	} {
		header := &tar.Header{
			Name: entry.path, Mode: entry.mode, Size: int64(len(entry.text)),
			Typeflag: tar.TypeReg, ModTime: epoch(), Format: tar.FormatPAX,
		}
		if entry.text == nil {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(entry.text); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(out.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}
