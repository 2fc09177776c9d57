package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The annotations by which programs that read an OCI layout name an image: the specification's, and
// the one that containerd looks at first and takes as it is.
const (
	annotationRef        = "org.opencontainers.image.ref.name"
	annotationContainerd = "io.containerd.image.name"
)

// Canonical returns a tag in full, as containerd keeps it: docker.io/certquake/workload:1.
func Canonical(tag name.Tag) string {
	registry := tag.RegistryStr()
	if registry == name.DefaultRegistry {
		registry = "docker.io"
	}
	return registry + "/" + tag.RepositoryStr() + ":" + tag.TagStr()
}

// WriteDocker writes the image to a file in the format of `docker save`, which `docker load` and
// `ctr -n k8s.io images import` take. An earlier file is replaced once the new one is whole.
func WriteDocker(path, ref string, img v1.Image) error {
	tag, err := name.NewTag(ref)
	if err != nil {
		return fmt.Errorf("%q is no name for an image: %w", ref, err)
	}
	return write(path, func(w io.Writer) error { return tarball.Write(tag, img, w) })
}

// WriteOCI writes the image to a file as an OCI image layout in a tar, annotated with the name. The
// layout holds Docker's manifest.json too, as `docker save` of today does, so that an older Docker
// can load it.
func WriteOCI(path, ref string, img v1.Image) error {
	tag, err := name.NewTag(ref)
	if err != nil {
		return fmt.Errorf("%q is no name for an image: %w", ref, err)
	}
	files, err := layout(tag, img)
	if err != nil {
		return fmt.Errorf("lay out the image: %w", err)
	}
	return write(path, func(w io.Writer) error { return pack(w, files) })
}

// file is one of an archive.
type file struct {
	path string
	text []byte // nil for a folder
}

// layout returns the files of the layout, folders before what is in them.
func layout(tag name.Tag, img v1.Image) ([]file, error) {
	files := []file{{"blobs/", nil}, {"blobs/sha256/", nil}}
	add := func(text []byte) string {
		digest, _, _ := v1.SHA256(bytes.NewReader(text)) // nothing fails in memory
		files = append(files, file{blob(digest), text})
		return blob(digest)
	}
	docker := tarball.Descriptor{RepoTags: []string{tag.Name()}}
	config, err := img.RawConfigFile()
	if err != nil {
		return nil, err
	}
	docker.Config = add(config)
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	for _, layer := range layers {
		var text []byte
		if text, err = compressed(layer); err != nil {
			return nil, err
		}
		docker.Layers = append(docker.Layers, add(text))
	}
	manifest, err := img.RawManifest()
	if err != nil {
		return nil, err
	}
	add(manifest)
	index, err := indexOf(tag, img)
	if err != nil {
		return nil, err
	}
	list, err := json.Marshal(tarball.Manifest{docker})
	return append(files, file{"index.json", index}, file{"manifest.json", list},
		file{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)}), err
}

// blob is where a layout keeps what has the digest.
func blob(digest v1.Hash) string { return "blobs/" + digest.Algorithm + "/" + digest.Hex }

// compressed returns a layer as it travels.
func compressed(layer v1.Layer) ([]byte, error) {
	r, err := layer.Compressed()
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(r)
	return text, errors.Join(err, r.Close())
}

// indexOf returns the layout's list of images.
func indexOf(tag name.Tag, img v1.Image) ([]byte, error) {
	entry, err := partial.Descriptor(img)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	entry.Platform = config.Platform()
	entry.Annotations = map[string]string{
		annotationRef: tag.String(), annotationContainerd: Canonical(tag),
	}
	return json.Marshal(v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{*entry},
	})
}

// pack writes the files as a tar.
func pack(out io.Writer, files []file) error {
	w := tar.NewWriter(out)
	for _, f := range files {
		header := &tar.Header{
			Name: f.path, Mode: 0o444, Size: int64(len(f.text)), Typeflag: tar.TypeReg,
			ModTime: epoch(), Format: tar.FormatPAX,
		}
		if f.text == nil {
			header.Mode, header.Typeflag = 0o755, tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		if _, err := w.Write(f.text); err != nil {
			return err
		}
	}
	return w.Close()
}

// write replaces the file by what fill writes, unless that fails.
func write(path string, fill func(io.Writer) error) (err error) {
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write an image: %w", err)
	}
	err = errors.Join(fill(temporary), temporary.Chmod(0o644), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write an image: %w",
			errors.Join(err, os.Remove(temporary.Name())))
	}
	return nil
}
