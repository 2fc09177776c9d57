package cli_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/cli"
	"github.com/certquake/certquake/harness/sim"
)

// TestMain registers the program, so that scripts run it as a process of its own, and looks for
// goroutines left behind by the tests in this one.
func TestMain(m *testing.M) {
	testscript.Main(leakless{m}, map[string]func(){
		"certquake":         func() { os.Exit(cli.Program(simulating("v0.0.0-test"))) },
		"certquake-keeping": func() { os.Exit(cli.Program(simulating("v0", keeping{sim.New()}))) },
		"certquake-sweeping": func() {
			os.Exit(cli.Program(simulating("v0", sweeping{keeping{sim.New()}})))
		},
	})
}

// simulating is a build with the simulator and further backends.
func simulating(version string, further ...cli.Backend) cli.Env {
	return cli.Env{
		Version: version, Backends: append([]cli.Backend{sim.New()}, further...), Image: imageOf,
		Rotator: rotating(),
	}
}

// imageOf makes an image that is the program's name. There is none of a program called broken.
func imageOf(ctx context.Context, program string) (cli.Image, error) {
	switch program {
	case "":
		harness.Say(ctx, "building the workload program")
		program = "workload"
	case "broken":
		return cli.Image{}, errors.New("broken is no program for Linux")
	}
	return cli.Image{
		Ref: "certquake/workload:0123", Digest: "sha256:4567",
		Write: func(path string) error { return os.WriteFile(path, []byte(program), 0o600) },
	}, nil
}

// leakless is a testing.M that fails when goroutines are left.
type leakless struct{ m *testing.M }

// Run implements testscript.TestingM.
func (l leakless) Run() int {
	code := l.m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	return code
}

// The scripts are the manual of the command line: what is typed, printed and returned.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			for name, text := range shared {
				path := filepath.Join(env.Cd, name)
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":     exits,
			"interrupt": interrupt,
			"same":      same,
			"cut":       cut,
		},
		Condition: func(name string) (bool, error) {
			return name == "root" && os.Geteuid() == 0, nil
		},
	})
}

// exits runs a program and compares its exit code: exits CODE PROGRAM ARG...
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := code(ts.Exec(args[1], args[2:]...)); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func code(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

// endsWithin bounds how long the program may take to end after a signal: seconds, but for a machine
// that does much else.
const endsWithin = time.Minute

// interrupt runs a program, sends it a signal once its stderr matches, and compares its exit code:
// interrupt SIGNAL PATTERN CODE PROGRAM ARG... What it printed is in the files out and err.
func interrupt(ts *testscript.TestScript, _ bool, args []string) {
	signals := map[string]syscall.Signal{
		"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL,
	}
	want, err := strconv.Atoi(args[2])
	ts.Check(err)
	program, err := exec.LookPath(args[3])
	ts.Check(err)
	watched := &watcher{pattern: regexp.MustCompile(args[1]), seen: make(chan struct{})}
	var out bytes.Buffer
	cmd := exec.Command(program, args[4:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), &out, watched
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+ts.Getenv("XDG_STATE_HOME"))
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-watched.seen:
	case err = <-ended:
		ts.Fatalf("ended before the signal: %v\n%s", err, watched.text())
	}
	ts.Check(cmd.Process.Signal(signals[args[0]]))
	select {
	case err = <-ended:
	case <-time.After(endsWithin):
		ts.Check(cmd.Process.Kill())
		ts.Fatalf("still running %s after the signal: %v", endsWithin, <-ended)
	}
	ts.Check(os.WriteFile(ts.MkAbs("out"), out.Bytes(), 0o644))
	ts.Check(os.WriteFile(ts.MkAbs("err"), []byte(watched.text()), 0o644))
	if got := code(err); got != want {
		ts.Fatalf("exit code %d, want %d\n%s", got, want, watched.text())
	}
}

// watcher is a writer that tells when what was written first matches.
type watcher struct {
	pattern *regexp.Regexp
	seen    chan struct{}

	mutex   sync.Mutex
	written bytes.Buffer
	told    bool
}

func (w *watcher) Write(data []byte) (int, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.written.Write(data)
	if !w.told && w.pattern.Match(w.written.Bytes()) {
		w.told = true
		close(w.seen)
	}
	return len(data), nil
}

func (w *watcher) text() string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.written.String()
}

// same compares every file of two folders byte for byte: same DIR DIR.
func same(ts *testscript.TestScript, _ bool, args []string) {
	one, other := contents(ts, args[0]), contents(ts, args[1])
	for name, text := range one {
		if other[name] != text {
			ts.Fatalf("%s differs", name)
		}
	}
	if len(one) != len(other) || len(one) == 0 {
		ts.Fatalf("%d files and %d", len(one), len(other))
	}
}

func contents(ts *testscript.TestScript, dir string) map[string]string {
	files := map[string]string{}
	ts.Check(filepath.WalkDir(ts.MkAbs(dir), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, ts.MkAbs(dir))] = string(data)
		return err
	}))
	return files
}

// cut shortens a file: cut FILE BYTES, from its end if negative.
func cut(ts *testscript.TestScript, _ bool, args []string) {
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	path := ts.MkAbs(args[0])
	if size < 0 {
		info, err := os.Stat(path)
		ts.Check(err)
		size += info.Size()
	}
	ts.Check(os.Truncate(path, size))
}
