package main

import (
	"context"
	"fmt"
	"strings"
)

// label of an image says which inputs it was made from.
const label = "certquake.node-image"

// loaded says whether Docker has all images, made from these inputs.
func (p *plan) loaded(ctx context.Context) bool {
	format := fmt.Sprintf("{{index .Config.Labels %q}}", label)
	args := append([]string{"image", "inspect", "--format", format}, p.images()...)
	text, err := output(program(ctx, "docker", args...))
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
func prune(ctx context.Context) {
	_, _ = output(program(ctx, "docker", "image", "prune", "--force", "--filter", "label="+label))
}

func load(ctx context.Context, archive string) error {
	if _, err := output(program(ctx, "docker", "load", "--quiet", "--input", archive)); err != nil {
		return fmt.Errorf("load images: %w", err)
	}
	return nil
}
