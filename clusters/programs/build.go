package programs

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

// markFile is in every checkout, and in no copy of the module that go keeps: what is built from
// that has no place to go.
const markFile = "clusters/embedded/controlplane/go.mod"

// outputMax is how long the rest of the output of a build that was cut short is waited for.
const outputMax = 5 * time.Second

// checkout is a folder with the sources of certquake.
type checkout struct{ root string }

func (c checkout) bin() string { return filepath.Join(c.root, "bin") }

// checkoutAbove returns the checkout that the folder is in.
func checkoutAbove(dir string) (checkout, bool) {
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod")) //nolint:gosec // to recognise it
		if err == nil && bytes.HasPrefix(text, []byte(modulePath)) {
			_, err = os.Stat(filepath.Join(dir, markFile))
			return checkout{dir}, err == nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return checkout{}, false
		}
		dir = parent
	}
}

// say tells people about a checkout.
func (c checkout) say(ctx context.Context, format string, args ...any) {
	harness.Say(ctx, "%s: "+format, append([]any{c.root}, args...)...)
}

// Step is one command of go that makes programs in a checkout.
type Step struct {
	What     string   // it builds, for people
	Programs []string // that it makes
	Sources  []string // folders and files of the checkout that they are made of
	Dir      string   // of the checkout in which go is started
	// Args returns the arguments of go that put the programs into the folder bin.
	Args func(bin string) []string
}

// WorkloadStep makes the program of all pods, as `make workload` does.
func WorkloadStep() Step {
	return Step{
		What:     "the workload program",
		Programs: []string{WorkloadName},
		Sources:  []string{"go.mod", "go.sum", "workloads", "harness/record"},
		Dir:      ".",
		Args: func(bin string) []string {
			return []string{
				"build", "-trimpath", "-ldflags", "-s -w",
				"-o", filepath.Join(bin, WorkloadName), "./workloads/cmd/workload",
			}
		},
	}
}

// build builds the programs that are missing or older than a source, one process at a time. Without
// a go command it makes do with what is there.
func (k Kit) build(ctx context.Context, c checkout) error {
	if err := os.MkdirAll(c.bin(), 0o755); err != nil { //nolint:gosec // programs, for everybody
		return fmt.Errorf("make a folder for the programs: %w", err)
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return fmt.Errorf("wait for another build: %w", err)
	}
	defer unlock()
	for _, step := range k.Steps {
		fresh, err := c.fresh(step)
		if err != nil {
			return fmt.Errorf("look for newer sources: %w", err)
		}
		if fresh {
			continue
		}
		if err := k.run(ctx, c, step); err != nil {
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
		free, err := TryLock(file)
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
func (c checkout) fresh(step Step) (bool, error) {
	oldest := time.Time{}
	for _, name := range step.Programs {
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
	for _, source := range step.Sources {
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
func (k Kit) run(ctx context.Context, c checkout, step Step) error {
	tool, err := exec.LookPath("go")
	if err != nil {
		return k.makeDo(ctx, c, step, err)
	}
	c.say(ctx, "building %s", step.What)
	args := step.Args(c.bin())
	began := time.Now()
	var out bytes.Buffer
	//nolint:gosec // go itself, with arguments of our own
	build := exec.CommandContext(ctx, tool, args...)
	build.Dir = filepath.Join(c.root, step.Dir)
	build.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	build.Stdout, build.Stderr = &out, &out
	build.SysProcAttr = OwnGroup() // ends as a whole, and with us only
	build.Cancel = func() error { KillGroup(build.Process.Pid); return nil }
	build.WaitDelay = outputMax
	ended := make(chan error, 1)
	go func() { ended <- build.Run() }()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			harness.Say(ctx, "still building %s: %s", step.What,
				time.Since(began).Round(time.Second))
		case err := <-ended:
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				return fmt.Errorf("build %s: (cd %s && GOOS=linux CGO_ENABLED=0 go %s): %w\n%s",
					step.What, build.Dir, strings.Join(args, " "), err, tail(out.Bytes()))
			}
			harness.Say(ctx, "built in %s", time.Since(began).Round(time.Second))
			return c.stamp(step, began)
		}
	}
}

// stamp dates the programs to when their build began: what was changed later is not in them. Go
// leaves a program alone for which nothing has changed.
func (c checkout) stamp(step Step, began time.Time) error {
	for _, name := range step.Programs {
		if err := os.Chtimes(filepath.Join(c.bin(), name), began, began); err != nil {
			return fmt.Errorf("date a program: %w", err)
		}
	}
	return nil
}

// makeDo takes programs that may be out of date, where they cannot be built.
func (k Kit) makeDo(ctx context.Context, c checkout, step Step, cause error) error {
	for _, name := range step.Programs {
		if _, err := os.Stat(filepath.Join(c.bin(), name)); err != nil {
			return fmt.Errorf("%w %s in %s, and no go to build them (%w): install Go from "+
				"https://go.dev/dl and type: make -C %s %s", ErrNone, k.For, c.bin(), cause,
				c.root, k.Make)
		}
	}
	c.say(ctx, "%s may be older than the sources, and there is no go to build it anew",
		strings.Join(step.Programs, " and "))
	return nil
}

// tail returns the end of a build's output.
func tail(out []byte) []byte {
	out = bytes.TrimSpace(out)
	return out[max(0, len(out)-tailMax):]
}
