package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopMax is how long a process may take to end before it is killed.
const stopMax = 5 * time.Second

// process is one part of the cluster. It can be stopped and started again; that it ends
// otherwise is reported to the cluster.
type process struct {
	name  string
	log   string
	dies  func(name string, err error)
	group *sync.WaitGroup

	mu      sync.Mutex // serialises start and stop
	args    []string
	command *exec.Cmd
	ended   chan struct{} // closed when command has ended
	wanted  *bool         // whether command should be running
}

var (
	errRuns    = errors.New("runs already")
	errStopped = errors.New("does not run")
	errEnded   = errors.New("exit status 0")
)

// start starts this program's subcommand args. Its output is appended to the log.
func (p *process) start(args []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return fmt.Errorf("%s %w", p.name, errRuns)
	}
	if err := os.MkdirAll(filepath.Dir(p.log), 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	command := own(args...)
	command.Stdout, command.Stderr = log, log
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + state, "TMPDIR=" + state}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	wanted, ended := true, make(chan struct{})
	p.args, p.command, p.wanted, p.ended = args, command, &wanted, ended
	p.group.Go(func() { p.follow(command, &wanted, ended) })
	return nil
}

// own makes a command of this very program, even if its file has been replaced meanwhile.
func own(args ...string) *exec.Cmd {
	return &exec.Cmd{Path: "/proc/self/exe", Args: append([]string{"controlplane"}, args...)}
}

func (p *process) follow(command *exec.Cmd, wanted *bool, ended chan struct{}) {
	err := command.Wait()
	close(ended)
	p.mu.Lock()
	unexpected := *wanted
	p.mu.Unlock()
	if unexpected && err == nil {
		err = errEnded
	}
	if unexpected {
		p.dies(p.name, fmt.Errorf("ended by itself: %w", err))
	}
}

// running is called with mu held.
func (p *process) running() bool {
	if p.command == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// stop ends the process with the signal, and kills it when it does not follow. It blocks.
func (p *process) stop(ctx context.Context, with syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return fmt.Errorf("%s %w", p.name, errStopped)
	}
	*p.wanted = false
	err := p.command.Process.Signal(with)
	// A paused process gets the signal only when it goes on.
	err = errors.Join(err, p.command.Process.Signal(syscall.SIGCONT))
	grace := time.NewTimer(stopMax)
	defer grace.Stop()
	select {
	case <-p.ended:
		return nil
	case <-grace.C:
	case <-ctx.Done():
	}
	err = errors.Join(err, p.command.Process.Kill())
	<-p.ended
	return err
}

// restart starts the process again as it was.
func (p *process) restart() error {
	p.mu.Lock()
	args := p.args
	p.mu.Unlock()
	return p.start(args)
}

// pid returns zero when the process does not run.
func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return 0
	}
	return p.command.Process.Pid
}

// freeze pauses or resumes the process, and waits until the kernel shows it.
func (p *process) freeze(ctx context.Context, pause bool) error {
	pid, signal := p.pid(), syscall.SIGCONT
	if pid == 0 {
		return fmt.Errorf("%s %w", p.name, errStopped)
	}
	if pause {
		signal = syscall.SIGSTOP
	}
	if err := syscall.Kill(pid, signal); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stopMax)
	defer cancel()
	return await(ctx, 2*time.Millisecond, func() bool { return paused(pid) == pause })
}

// paused reads the state that stands behind the name in parentheses.
func paused(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(text), ") ")
	return strings.HasPrefix(state, "T")
}

// await polls until done holds or ctx ends.
func await(ctx context.Context, every time.Duration, done func() bool) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
