package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
)

// image is a name for layers, which are paths of archives, lowest first, and a configuration.
type image struct {
	name   string
	layers []string
	config config
}

// config is what Docker reads of an image's configuration.
type config struct {
	Entrypoint []string          `json:"Entrypoint,omitempty"`
	Env        []string          `json:"Env,omitempty"`
	Labels     map[string]string `json:"Labels,omitempty"`
	StopSignal string            `json:"StopSignal,omitempty"`
	User       string            `json:"User,omitempty"`
}

// nodeImage starts systemd by way of our entrypoint. systemd knows by its environment that it
// is in a container, and ends by its own signal, not by SIGTERM.
func nodeImage(plan *plan, layers ...string) image {
	return image{name: plan.node(), layers: layers, config: config{
		Entrypoint: []string{"/usr/local/bin/entrypoint", "/sbin/init"},
		Env: []string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"container=docker",
		},
		Labels:     map[string]string{label: plan.hash},
		StopSignal: "SIGRTMIN+3",
	}}
}

// certManagerImage runs one part of cert-manager as nobody in particular. The user is a
// number: Kubernetes cannot tell from a name that it is not root.
func certManagerImage(plan *plan, part string, layers ...string) image {
	return image{name: plan.certManagerImage(part), layers: layers, config: config{
		Entrypoint: []string{"/certmanager", part},
		Labels:     map[string]string{label: plan.hash},
		User:       "1000",
	}}
}

// What `docker load` reads: a table of images, a description of each, and the layers.
type (
	row struct {
		Config   string   `json:"Config"`
		RepoTags []string `json:"RepoTags"`
		Layers   []string `json:"Layers"`
	}
	description struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
		Config       config `json:"config"`
		RootFS       rootFS `json:"rootfs"`
	}
	rootFS struct {
		Type   string   `json:"type"`
		Layers []string `json:"diff_ids"`
	}
)

// archive is one that `docker load` takes, while it is written.
type archive struct {
	layer
	hashes map[string]string // of layers that are in it, by path
}

// writeArchive writes the images. A layer of several of them is in it once.
func writeArchive(ctx context.Context, to string, images []image) error {
	file, err := os.Create(to)
	if err != nil {
		return err
	}
	out := &archive{layer: openLayer(file), hashes: map[string]string{}}
	table := make([]row, len(images))
	for i, one := range images {
		table[i], err = out.image(ctx, one)
		if err != nil {
			return errors.Join(err, file.Close())
		}
	}
	text, err := json.Marshal(table)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	out.text("manifest.json", string(text))
	return out.close()
}

// image adds an image: its layers, and its description, which is named for its hash.
func (a *archive) image(ctx context.Context, one image) (row, error) {
	about := description{
		Architecture: runtime.GOARCH, OS: "linux", Config: one.config,
		RootFS: rootFS{Type: "layers"},
	}
	entry := row{RepoTags: []string{one.name}}
	for _, path := range one.layers {
		if err := ctx.Err(); err != nil {
			return row{}, err
		}
		if a.hashes[path] == "" {
			hash, err := hashFile(path)
			if err != nil {
				return row{}, err
			}
			a.hashes[path] = hash
			a.copy(hash+"/layer.tar", path, 0o644)
		}
		about.RootFS.Layers = append(about.RootFS.Layers, "sha256:"+a.hashes[path])
		entry.Layers = append(entry.Layers, a.hashes[path]+"/layer.tar")
	}
	text, err := json.Marshal(about)
	if err != nil {
		return row{}, err
	}
	entry.Config = fmt.Sprintf("%x.json", sha256.Sum256(text))
	a.text(entry.Config, string(text))
	return entry, nil
}

func hashFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // it was only read
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
