// Package programs finds the programs that clusters are made of, or builds them from a checkout of
// certquake. Call Workload for the program of all pods. A backend that needs more describes a Kit.
//
// What was found is used as it is, unless it lies in a checkout: there a program that is older than
// a source is built anew, by one process at a time, and harness.Say tells people about it.
package programs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// WorkloadName is the file name of the program of all pods.
const WorkloadName = "workload"

// ErrNone is of a machine where programs are neither to be found nor to be built.
var ErrNone = errors.New("no programs")

// Kit is the programs that something needs together, in one folder.
type Kit struct {
	For   string // what, in the words that follow "no programs" in an error
	Make  string // the target of make that builds them
	Steps []Step // which do the same
}

// Workload returns the absolute path of the static program of all pods, for Linux and for machines
// like this one. It takes the program in the folder bin; if that is empty, it finds or builds one
// as Kit.Find does, which takes seconds. It needs no other program of a cluster. Errors wrap
// ErrNone, or the cause of ctx's end.
func Workload(ctx context.Context, bin string) (path string, err error) {
	kit := Kit{For: "for the pods", Make: "workload", Steps: []Step{WorkloadStep()}}
	dir, err := kit.Find(ctx, bin)
	if err != nil {
		return "", err
	}
	path, err = filepath.Abs(filepath.Join(dir, WorkloadName))
	if err != nil {
		return "", fmt.Errorf("find the workload program: %w", err)
	}
	return path, kit.Check(path, true)
}

// Find returns a folder that holds all programs, and builds them if need be. They are taken from
// the first of: bin, as they are; the folder of the running program, as they are if no checkout
// holds it; the bin folder of a checkout that holds the working folder or the running program,
// built anew where a source is newer. Whether they are any good is for Check to say. Errors wrap
// ErrNone, or the cause of ctx's end.
func (k Kit) Find(ctx context.Context, bin string) (string, error) {
	if bin != "" {
		return bin, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the running program: %w", err)
	}
	if target, linkErr := filepath.EvalSymlinks(self); linkErr == nil {
		self = target
	}
	working, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the working folder: %w", err)
	}
	return k.findFrom(ctx, filepath.Dir(self), working)
}

func (k Kit) findFrom(ctx context.Context, beside, working string) (string, error) {
	own, inOwn := checkoutAbove(beside)
	if !inOwn && k.complete(beside) {
		return beside, nil
	}
	from, found := checkoutAbove(working)
	if !found {
		from, found = own, inOwn
	}
	if !found {
		return "", fmt.Errorf("%w %s (%s) in %s, and no checkout of certquake above %s to build "+
			"them from; type: git clone https://github.com/certquake/certquake && cd certquake "+
			"&& make build %s && bin/certquake", ErrNone, k.For, strings.Join(k.names(), ", "),
			beside, working, k.Make)
	}
	return from.bin(), k.build(ctx, from)
}

// names lists the programs.
func (k Kit) names() []string {
	var names []string
	for _, step := range k.Steps {
		names = append(names, step.Programs...)
	}
	return names
}

// complete reports whether the folder has all programs.
func (k Kit) complete(bin string) bool {
	for _, name := range k.names() {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return false
		}
	}
	return true
}
