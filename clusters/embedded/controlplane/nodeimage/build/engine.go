package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// label of an image says which inputs it was made from.
const label = "certquake.node-image"

// engine is the command of a container engine. Docker and Podman share the commands used here.
type engine string

const (
	docker engine = "docker"
	podman engine = "podman"
)

// findEngine returns Docker, or else Podman. Podman can come with a command of Docker's name.
func findEngine(ctx context.Context) (engine, error) {
	for _, e := range []engine{docker, podman} {
		if _, err := exec.LookPath(string(e)); err != nil {
			continue
		}
		said, err := output(e.command(ctx, "-v"))
		if err == nil && strings.HasPrefix(strings.ToLower(said), string(e)+" version") {
			return e, nil
		}
	}
	return "", errors.New("no docker, and no podman: install one of them " +
		"(Debian: apt-get install docker.io)")
}

// platform returns the system and the architecture that the engine runs, as linux/amd64. That it
// answers is known then.
func (e engine) platform(ctx context.Context) (string, error) {
	if e == podman {
		return output(e.command(ctx, "info", "--format", "{{.Host.OS}}/{{.Host.Arch}}"))
	}
	return output(e.command(ctx, "version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"))
}

func (e engine) command(ctx context.Context, args ...string) *exec.Cmd {
	return program(ctx, string(e), args...)
}

// has says whether the engine has all images, made from these inputs.
func (e engine) has(ctx context.Context, p *plan) bool {
	format := fmt.Sprintf("{{index .Config.Labels %q}}", label)
	args := append([]string{"image", "inspect", "--format", format}, p.images()...)
	text, err := output(e.command(ctx, args...))
	if err != nil {
		return false // it lacks one
	}
	for got := range strings.Lines(text) {
		if strings.TrimSpace(got) != p.hash {
			return false
		}
	}
	return true
}

// prune removes what the images of before have become: images without a name. They cost only
// space, and some may be in use, so it does not matter if that fails.
func (e engine) prune(ctx context.Context) {
	_, _ = output(e.command(ctx, "image", "prune", "--force", "--filter", "label="+label))
}

func (e engine) load(ctx context.Context, archive string) error {
	if _, err := output(e.command(ctx, "load", "--quiet", "--input", archive)); err != nil {
		return fmt.Errorf("load images: %w", err)
	}
	return nil
}
