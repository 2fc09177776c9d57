package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/certquake/certquake/harness"
)

// tellEvery is how often a build says that it goes on.
const tellEvery = 5 * time.Second

// lockEvery is how often a build looks whether another one has ended.
const lockEvery = 200 * time.Millisecond

// tailMax bounds what of a failed build's output is in its error.
const tailMax = 2000

// modulePath is what go.mod of a checkout says first.
const modulePath = "module github.com/certquake/certquake\n"

// controlPlaneFolder is the control plane's module in a checkout.
const controlPlaneFolder = "clusters/embedded/controlplane"

// checkout is a folder with the sources of certquake.
type checkout struct{ root string }

func (c checkout) bin() string { return filepath.Join(c.root, "bin") }

// checkoutAbove returns the checkout that the folder is in.
func checkoutAbove(dir string) (checkout, bool) {
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod")) //nolint:gosec // to recognise it
		if err == nil && bytes.HasPrefix(text, []byte(modulePath)) {
			_, err = os.Stat(filepath.Join(dir, controlPlaneFolder, "go.mod"))
			return checkout{dir}, err == nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return checkout{}, false
		}
		dir = parent
	}
}

// step is one command of a build.
type step struct {
	what     string
	programs []string // that it makes
	sources  []string // folders and files below the root that they are made of
	dir      string   // below the root
	args     []string // of go
}

// steps are what `make embedded` does. The control plane's flags are known to its own build program
// alone: other ones would compile all of Kubernetes again.
func (c checkout) steps() []step {
	return []step{{
		what:     "the embedded Kubernetes (minutes at first, later seconds)",
		programs: []string{programControlPlane, programContainer},
		sources:  []string{controlPlaneFolder},
		dir:      controlPlaneFolder,
		args:     []string{"run", "./build", "-o", c.bin()},
	}, {
		what:     "the workload program",
		programs: []string{programWorkload},
		sources:  []string{"go.mod", "go.sum", "workloads", "harness/record"},
		dir:      ".",
		args: []string{
			"build", "-trimpath", "-ldflags", "-s -w",
			"-o", filepath.Join(c.bin(), programWorkload),
			"./workloads/cmd/workload",
		},
	}}
}

// build builds the programs that are missing or older than a source, one process at a time. Without
// a go command it makes do with what is there.
func (c checkout) build(ctx context.Context) error {
	if err := os.MkdirAll(c.bin(), 0o755); err != nil { //nolint:gosec // programs, for everybody
		return fmt.Errorf("make a folder for the programs: %w", err)
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return fmt.Errorf("wait for another build: %w", err)
	}
	defer unlock()
	for _, step := range c.steps() {
		fresh, err := c.fresh(step)
		if err != nil {
			return fmt.Errorf("look for newer sources: %w", err)
		}
		if fresh {
			continue
		}
		if err := c.run(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

// lock waits until no other process builds in this checkout.
func (c checkout) lock(ctx context.Context) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(c.bin(), ".building"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(lockEvery)
	defer tick.Stop()
	for told := false; ; told = true {
		free, err := tryLock(file)
		if free {
			return func() { _ = file.Close() }, nil
		}
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		if !told {
			c.say(ctx, "waiting for another build")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), file.Close())
		}
	}
}

// fresh reports whether every program of the step is newer than every source.
func (c checkout) fresh(step step) (bool, error) {
	oldest := time.Time{}
	for _, name := range step.programs {
		info, err := os.Stat(filepath.Join(c.bin(), name))
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if oldest.IsZero() || info.ModTime().Before(oldest) {
			oldest = info.ModTime()
		}
	}
	for _, source := range step.sources {
		newest, err := newest(filepath.Join(c.root, source))
		if err != nil || !newest.Before(oldest) {
			return false, err
		}
	}
	return true, nil
}

// newest returns when the youngest source in the folder was changed. Tests are none.
func newest(root string) (time.Time, error) {
	var youngest time.Time
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !isSource(path) {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.ModTime().After(youngest) {
			youngest = info.ModTime()
		}
		return err
	})
	return youngest, err
}

func isSource(path string) bool {
	switch filepath.Ext(path) {
	case ".go":
		return !strings.HasSuffix(path, "_test.go")
	case ".mod", ".sum":
		return true
	}
	return false
}

// run carries the step out and says every few seconds that it goes on.
func (c checkout) run(ctx context.Context, step step) error {
	tool, err := exec.LookPath("go")
	if err != nil {
		return c.makeDo(ctx, step, err)
	}
	c.say(ctx, "building %s", step.what)
	began := time.Now()
	var out bytes.Buffer
	//nolint:gosec // go itself, with arguments of our own
	build := exec.CommandContext(ctx, tool, step.args...)
	build.Dir = filepath.Join(c.root, step.dir)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stdout, build.Stderr = &out, &out
	build.SysProcAttr = ownGroup() // ends as a whole, and with us only
	build.Cancel = func() error { killGroup(build.Process.Pid); return nil }
	build.WaitDelay = outputMax
	ended := make(chan error, 1)
	go func() { ended <- build.Run() }()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			harness.Say(ctx, "still building %s: %s", step.what,
				time.Since(began).Round(time.Second))
		case err := <-ended:
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				return fmt.Errorf("build %s: (cd %s && CGO_ENABLED=0 go %s): %w\n%s", step.what,
					build.Dir, strings.Join(step.args, " "), err, tail(out.Bytes()))
			}
			harness.Say(ctx, "built in %s", time.Since(began).Round(time.Second))
			return c.stamp(step, began)
		}
	}
}

// stamp dates the programs to when their build began: what was changed later is not in them. Go
// leaves a program alone for which nothing has changed.
func (c checkout) stamp(step step, began time.Time) error {
	for _, name := range step.programs {
		if err := os.Chtimes(filepath.Join(c.bin(), name), began, began); err != nil {
			return fmt.Errorf("date a program: %w", err)
		}
	}
	return nil
}

// makeDo takes programs that may be out of date, where they cannot be built.
func (c checkout) makeDo(ctx context.Context, step step, cause error) error {
	for _, name := range step.programs {
		if _, err := os.Stat(filepath.Join(c.bin(), name)); err != nil {
			return fmt.Errorf("%w in %s, and no go to build them (%w): install Go from "+
				"https://go.dev/dl and type: make -C %s embedded", errNoPrograms, c.bin(), cause,
				c.root)
		}
	}
	c.say(ctx, "%s may be older than the sources, and there is no go to build it anew",
		strings.Join(step.programs, " and "))
	return nil
}

// tail returns the end of a build's output.
func tail(out []byte) []byte {
	out = bytes.TrimSpace(out)
	return out[max(0, len(out)-tailMax):]
}
