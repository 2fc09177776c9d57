package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
)

// plan says what to build, as go.mod has it.
type plan struct {
	kubernetes  string // version, with its v
	certManager string // version, with its v
	hash        string // of everything the images are made from
}

// sources are the folders, in the module, that the images are made from.
func sources() []string { return []string{"certmanager", "nodeimage", "webhookshim"} }

func newPlan(ctx context.Context) (*plan, error) {
	kubernetes, err := version(ctx, "k8s.io/kubernetes")
	if err != nil {
		return nil, err
	}
	certManager, err := version(ctx, "github.com/cert-manager/cert-manager")
	if err != nil {
		return nil, err
	}
	hash, err := hashInputs(os.DirFS("."), runtime.Version(), runtime.GOARCH, release)
	if err != nil {
		return nil, fmt.Errorf("hash sources: %w", err)
	}
	return &plan{kubernetes: kubernetes, certManager: certManager, hash: hash}, nil
}

func version(ctx context.Context, module string) (string, error) {
	text, err := output(goTool(ctx, "list", "-m", "-f", "{{.Version}}", module))
	if err != nil {
		return "", fmt.Errorf("version of %s: %w", module, err)
	}
	return text, nil
}

// String is the names of the images.
func (p *plan) String() string { return strings.Join(p.images(), ", ") }

func (p *plan) node() string { return "certquake/node:" + p.kubernetes }

// network is the image of the network's program inside of nodes. No registry has this name,
// so nobody looks for it outside.
func (p *plan) network() string { return "localhost/certquake/network:" + p.kubernetes }

func (p *plan) certManagerImage(part string) string {
	return "certquake/cert-manager-" + part + ":" + p.certManager
}

// parts are the programs of cert-manager, each in an image of its own.
func parts() []string { return []string{"controller", "webhook", "cainjector"} }

func (p *plan) images() []string {
	images := []string{p.node()}
	for _, part := range parts() {
		images = append(images, p.certManagerImage(part))
	}
	return images
}

// stamps tells the programs their versions: kubeadm refuses to work without, and nodes would
// report v0.0.0. They are the same as in ../../build.
func (p *plan) stamps() (string, error) {
	numbers := strings.SplitN(strings.TrimPrefix(p.kubernetes, "v"), ".", 3)
	if len(numbers) != 3 {
		return "", fmt.Errorf("version %q of Kubernetes has not three parts", p.kubernetes)
	}
	const version = " -X k8s.io/component-base/version."
	return "-s -w" + version + "gitVersion=" + p.kubernetes +
		version + "gitMajor=" + numbers[0] + version + "gitMinor=" + numbers[1] +
		version + "gitTreeState=clean" +
		" -X github.com/cert-manager/cert-manager/pkg/util.AppVersion=" + p.certManager, nil
}

// hashInputs is a hash of the module's versions, of its sources that end in the images, and of
// the words. Tests and cert-manager's CRDs, which a build may copy or not, are left out.
func hashInputs(module fs.FS, words ...string) (string, error) {
	paths := []string{"go.mod", "go.sum"}
	for _, folder := range sources() {
		err := fs.WalkDir(module, folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.Name() == "crds" {
				return fs.SkipDir
			}
			if entry.Type().IsRegular() && !strings.HasSuffix(path, "_test.go") {
				paths = append(paths, path)
			}
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	slices.Sort(paths)
	hash := sha256.New()
	hash.Write(fmt.Appendf(nil, "%q\n", words))
	for _, path := range paths {
		text, err := fs.ReadFile(module, path)
		if err != nil {
			return "", err
		}
		hash.Write(fmt.Appendf(nil, "%q %d\n", path, len(text)))
		hash.Write(text)
	}
	return hex.EncodeToString(hash.Sum(nil))[:32], nil
}
