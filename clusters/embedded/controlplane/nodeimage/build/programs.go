package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	// tags leave out what containerd can do with file systems that no node has.
	tags       = "no_btrfs,no_devmapper,no_zfs"
	module     = "github.com/certquake/certquake/clusters/embedded/controlplane/nodeimage/"
	containerd = "github.com/containerd/containerd/v2/cmd/"
)

// compile builds all programs into work/bin.
func compile(ctx context.Context, plan *plan, work string, processes int) error {
	say("compiling Kubernetes %s, containerd and cert-manager %s: minutes, if Go's cache is empty",
		plan.kubernetes, plan.certManager)
	stamps, err := plan.stamps()
	if err != nil {
		return err
	}
	args := []string{
		"build", "-trimpath", "-buildvcs=false", "-tags", tags, "-ldflags", stamps,
		"-o", filepath.Join(work, "bin") + "/",
	}
	if processes > 0 {
		args = append(args, "-p", strconv.Itoa(processes))
	}
	if err := os.Mkdir(filepath.Join(work, "bin"), 0o755); err != nil {
		return err
	}
	args = append(args,
		module+"node", module+"network", module+"pause", module+"entrypoint", module+"preload",
		module+"certmanager", containerd+"containerd", containerd+"containerd-shim-runc-v2",
		containerd+"ctr")
	if _, err := output(goTool(ctx, args...)); err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	say("compiled")
	return nil
}

// wanted are the images that kubeadm will ask for, by the name of their program.
func wanted(ctx context.Context, plan *plan, bin string) (map[string]string, error) {
	kubeadm := filepath.Join(bin, "kubeadm")
	if err := os.Symlink("node", kubeadm); err != nil {
		return nil, err
	}
	text, err := output(program(ctx, kubeadm,
		"config", "images", "list", "--kubernetes-version", plan.kubernetes))
	if err != nil {
		return nil, fmt.Errorf("ask kubeadm for its images: %w", err)
	}
	return byProgram(text)
}

// byProgram maps programs to images: the last part of an image's name is its program's.
func byProgram(text string) (map[string]string, error) {
	images := map[string]string{}
	for line := range strings.Lines(text) {
		image := strings.TrimSpace(line)
		name, _, found := strings.Cut(path.Base(image), ":")
		if !found {
			return nil, fmt.Errorf("kubeadm lists %q, which has no tag", image)
		}
		images[name] = image
	}
	if images["pause"] == "" {
		return nil, fmt.Errorf("kubeadm lists no image of pause:\n%s", text)
	}
	return images, nil
}
