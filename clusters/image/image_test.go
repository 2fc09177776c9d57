package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/clusters/programs/programstest"
)

// programOf makes a file that passes for a program.
func programOf(t *testing.T, file string, e programstest.ELF) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), file)
	require.NoError(t, e.Write(path))
	return path
}

// digests are by what an image and its configuration are known.
func digests(t *testing.T, img v1.Image) [2]string {
	t.Helper()
	whole, err := img.Digest()
	require.NoError(t, err)
	config, err := img.ConfigName()
	require.NoError(t, err)
	return [2]string{whole.String(), config.String()}
}

// consistent looks whether the image is what its digests say.
func consistent(t *testing.T, img v1.Image) {
	t.Helper()
	layers, err := img.Layers()
	require.NoError(t, err)
	require.Len(t, layers, 1)
	config, err := img.ConfigFile()
	require.NoError(t, err)
	for _, half := range []struct {
		says func() (v1.Hash, error)
		open func() (io.ReadCloser, error)
	}{
		{layers[0].Digest, layers[0].Compressed}, {layers[0].DiffID, layers[0].Uncompressed},
	} {
		want, unsaid := half.says()
		require.NoError(t, unsaid)
		r, unread := half.open()
		require.NoError(t, unread)
		got, _, unread := v1.SHA256(r)
		require.NoError(t, errors.Join(unread, r.Close()))
		assert.Equal(t, want, got)
	}
	diff, err := layers[0].DiffID()
	require.NoError(t, err)
	assert.Equal(t, []v1.Hash{diff}, config.RootFS.DiffIDs)
}

func TestBuild(t *testing.T) {
	t.Parallel()
	program := programOf(t, "any", programstest.ELF{Machine: elf.EM_AARCH64, Rest: "the rest"})
	img, err := Build(program)
	require.NoError(t, err)
	consistent(t, img)
	config, err := img.ConfigFile()
	require.NoError(t, err)
	assert.Equal(t, "linux", config.OS)
	assert.Equal(t, "arm64", config.Architecture)
	assert.Equal(t, "65532:65532", config.Config.User)
	assert.Equal(t, []string{"/workload"}, config.Config.Entrypoint)
	assert.Equal(t, "Apache-2.0", config.Config.Labels["org.opencontainers.image.licenses"])
	assert.Equal(t, "certquake workload", config.Config.Labels["org.opencontainers.image.title"])
	assert.NotContains(t, config.Config.Labels, "org.opencontainers.image.version")

	text, err := os.ReadFile(program)
	require.NoError(t, err)
	type entry struct {
		mode int64
		text string
	}
	got := map[string]entry{}
	files := mutate.Extract(img)
	defer func() { _ = files.Close() }()
	for r := tar.NewReader(files); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		held, err := io.ReadAll(r)
		require.NoError(t, err)
		got[header.Name] = entry{header.Mode, string(held)}
		assert.Zero(t, header.Uid+header.Gid, header.Name)
		assert.Equal(t, time.Unix(0, 0), header.ModTime, header.Name)
	}
	assert.Equal(t, map[string]entry{
		"etc":       {0o755, ""},
		"etc/group": {0o444, "root:x:0:\nnonroot:x:65532:\n"},
		"etc/passwd": {0o444, "root:x:0:0:root:/:/sbin/nologin\n" +
			"nonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"},
		"tmp":      {0o1777, ""},
		"workload": {0o555, string(text)},
	}, got)
}

// The image is a function of the program's bytes, and of nothing about the file.
func TestSameProgramSameImage(t *testing.T) {
	t.Parallel()
	one := programOf(t, "one", programstest.ELF{Rest: "1"})
	first, err := Build(one)
	require.NoError(t, err)
	require.NoError(t, os.Chtimes(one, time.Unix(1, 0), time.Unix(1, 0)))
	again, err := Build(one)
	require.NoError(t, err)
	copied, err := Build(programOf(t, "copy", programstest.ELF{Rest: "1", Mode: 0o700}))
	require.NoError(t, err)
	other, err := Build(programOf(t, "one", programstest.ELF{Rest: "2"}))
	require.NoError(t, err)
	want := digests(t, first)
	assert.Equal(t, want, digests(t, again))
	assert.Equal(t, want, digests(t, copied))
	assert.NotEqual(t, want[0], digests(t, other)[0])
	assert.NotEqual(t, want[1], digests(t, other)[1])

	ref, err := Ref(first)
	require.NoError(t, err)
	assert.Equal(t, "certquake/workload:"+want[1][len("sha256:"):][:12], ref)
	otherRef, err := Ref(other)
	require.NoError(t, err)
	assert.NotEqual(t, ref, otherRef)

	for _, write := range []func(string, string, v1.Image) error{WriteDocker, WriteOCI} {
		var sums [][sha256.Size]byte
		for _, img := range []v1.Image{first, copied} {
			path := filepath.Join(t.TempDir(), "archive.tar")
			require.NoError(t, write(path, ref, img))
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			sums = append(sums, sha256.Sum256(text))
		}
		assert.Equal(t, sums[0], sums[1])
	}
}

// What Go wrote into a program is in the labels.
func TestGoProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for path, text := range map[string]string{
		"go.mod":  "module example.org/it\n\ngo 1.26\n",
		"main.go": "package main\n\nfunc main() {}\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600))
	}
	build := exec.Command("go", "build", "-o", "it", ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	img, err := Build(filepath.Join(dir, "it"))
	require.NoError(t, err)
	config, err := img.ConfigFile()
	require.NoError(t, err)
	assert.Equal(t, "(devel)", config.Config.Labels["org.opencontainers.image.version"])
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "script")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755))
	shared := programstest.ELF{Segment: elf.PT_INTERP}
	foreign := programstest.ELF{Machine: elf.EM_S390}
	for want, path := range map[string]string{
		"no such file":                        filepath.Join(t.TempDir(), "none"),
		"is no program for Linux, or damaged": script,
		"needs shared libraries":              programOf(t, "program", shared),
		"is a program for EM_S390":            programOf(t, "program", foreign),
	} {
		_, err := Build(path)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, path)
	}
	good := programOf(t, "etc", programstest.ELF{})
	_, _, err := Named("my/service:1", good)
	require.ErrorContains(t, err, "rename")
	_, _, err = Named("Not a name", good)
	require.ErrorContains(t, err, `"Not a name" is no name for an image`)
}

func TestNamed(t *testing.T) {
	t.Parallel()
	program := programOf(t, "my-service", programstest.ELF{})
	for given, want := range map[string]string{
		"service":                   "docker.io/library/service:latest",
		"my/service:1":              "docker.io/my/service:1",
		"registry.example:5000/a:b": "registry.example:5000/a:b",
	} {
		ref, img, err := Named(given, program)
		require.NoError(t, err)
		assert.Equal(t, want, ref)
		config, err := img.ConfigFile()
		require.NoError(t, err)
		assert.Equal(t, []string{"/my-service"}, config.Config.Entrypoint)
		assert.NotContains(t, config.Config.Labels, "org.opencontainers.image.licenses")
	}
}

// Both archives hold the image under its name, also for those who read only one of the formats that
// the second is in.
func TestArchives(t *testing.T) {
	t.Parallel()
	img, err := Build(programOf(t, "workload", programstest.ELF{Rest: "it"}))
	require.NoError(t, err)
	const ref = "certquake/workload:1"
	tag, err := name.NewTag(ref)
	require.NoError(t, err)
	dir := t.TempDir()
	docker, oci := filepath.Join(dir, "docker.tar"), filepath.Join(dir, "oci.tar")
	require.NoError(t, WriteDocker(docker, ref, img))
	require.NoError(t, os.WriteFile(oci, []byte("an earlier one"), 0o600))
	require.NoError(t, WriteOCI(oci, ref, img))
	for _, path := range []string{docker, oci} {
		got, unread := tarball.ImageFromPath(path, &tag)
		require.NoError(t, unread)
		consistent(t, got)
		assert.Equal(t, digests(t, img)[1], digests(t, got)[1])
	}

	layout := unpacked(t, oci)
	assert.FileExists(t, filepath.Join(layout, "oci-layout"))
	var list v1.IndexManifest
	decode(t, filepath.Join(layout, "index.json"), &list)
	require.Len(t, list.Manifests, 1)
	entry := list.Manifests[0]
	assert.Equal(t, digests(t, img)[0], entry.Digest.String())
	var manifest v1.Manifest
	decode(t, filepath.Join(layout, blob(entry.Digest)), &manifest)
	blobs := append(manifest.Layers, manifest.Config, entry)
	for _, it := range blobs {
		text, unread := os.ReadFile(filepath.Join(layout, blob(it.Digest)))
		require.NoError(t, unread)
		got, size, unread := v1.SHA256(bytes.NewReader(text))
		require.NoError(t, unread)
		assert.Equal(t, it.Digest, got)
		assert.Equal(t, it.Size, size)
		assert.Contains(t, string(it.MediaType), "application/vnd.oci.image.")
	}
	entries, err := os.ReadDir(filepath.Join(layout, "blobs", "sha256"))
	require.NoError(t, err)
	assert.Len(t, entries, len(blobs))
	assert.Equal(t, "linux", entry.Platform.OS)
	assert.Equal(t, map[string]string{
		"org.opencontainers.image.ref.name": ref,
		"io.containerd.image.name":          "docker.io/certquake/workload:1",
	}, entry.Annotations)
}

// An archive that cannot be written leaves nothing, and the earlier one as it was.
func TestWriteFails(t *testing.T) {
	t.Parallel()
	img, err := Build(programOf(t, "workload", programstest.ELF{}))
	require.NoError(t, err)
	dir := t.TempDir()
	require.Error(t, WriteOCI(filepath.Join(dir, "none", "it.tar"), "a:b", img))
	require.ErrorContains(t, WriteOCI(filepath.Join(dir, "it.tar"), "A B", img), `"A B" is no name`)
	failing := errors.New("full")
	kept := filepath.Join(dir, "kept.tar")
	require.NoError(t, os.WriteFile(kept, []byte("kept"), 0o600))
	require.ErrorIs(t, write(kept, func(io.Writer) error { return failing }), failing)
	text, err := os.ReadFile(kept)
	require.NoError(t, err)
	assert.Equal(t, "kept", string(text))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1)
}

func decode(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, into))
}

// unpacked returns a folder with the archive's files.
func unpacked(t *testing.T, archive string) string {
	t.Helper()
	dir := t.TempDir()
	in, err := os.Open(archive)
	require.NoError(t, err)
	defer func() { _ = in.Close() }()
	safe := regexp.MustCompile(`^[a-z0-9/.-]+$`)
	for r := tar.NewReader(in); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		require.NoError(t, err)
		require.Regexp(t, safe, header.Name)
		path := filepath.Join(dir, header.Name)
		if header.Typeflag == tar.TypeDir {
			require.NoError(t, os.Mkdir(path, 0o755))
			continue
		}
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, text, 0o600))
	}
}
