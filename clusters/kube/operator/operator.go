// Package operator runs the operator that rotates keys as a process that can be killed, for a run
// whose scenario has RotatingSecrets.
//
// The process is another one of the program itself, so whoever performs plans calls Main first
// thing: in main, or in TestMain. It ends with the process that started it, however that ends.
package operator

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/certquake/certquake/clusters/programs"
)

const (
	// readyLimit bounds the wait for the operator to begin.
	readyLimit = 30 * time.Second
	// wordsKept is how many of the operator's last lines are kept to explain its end.
	wordsKept = 5
)

// order is what the process is told on its standard input, which is also its life line.
type order struct {
	Kubeconfig []byte   `json:"kubeconfig"`
	Namespaces []string `json:"namespaces"`
}

// errNeverBegan is of a process that did not become an operator.
var errNeverBegan = errors.New("it did not begin")

// Process is a running operator.
type Process struct {
	command *exec.Cmd
	life    *os.File
	begun   chan struct{} // closed when it works
	ended   chan struct{} // closed when nothing of it runs any more

	mu     sync.Mutex
	wanted bool // it is to end
	words  []string
	cause  error // set before ended is closed
}

// Start starts an operator for the namespaces and returns once it works. It outlives ctx: end it by
// Kill.
func Start(ctx context.Context, config *rest.Config, namespaces []string) (*Process, error) {
	p, err := start(ctx, config, namespaces)
	if err != nil {
		return nil, fmt.Errorf("start the operator that rotates keys: %w", err)
	}
	return p, nil
}

func start(ctx context.Context, config *rest.Config, namespaces []string) (*Process, error) {
	reach, err := kubeconfig(config)
	if err != nil {
		return nil, err
	}
	p, err := launch(ctx, order{Kubeconfig: reach, Namespaces: namespaces})
	if err != nil {
		return nil, err
	}
	if err := p.await(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// launch starts the process and tells it what to do. It outlives ctx.
func launch(ctx context.Context, told order) (*Process, error) {
	text, err := json.Marshal(told)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	input, life, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, talk, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, input.Close(), life.Close())
	}
	p := &Process{life: life, begun: make(chan struct{}), ended: make(chan struct{})}
	//nolint:gosec // the program itself
	p.command = exec.CommandContext(context.WithoutCancel(ctx), self, argument)
	p.command.Stdin, p.command.Stdout, p.command.Stderr = input, talk, talk
	p.command.SysProcAttr = programs.OwnGroup() // out of reach of a terminal's Ctrl-C
	err = p.command.Start()
	_ = input.Close() // the process has its own
	_ = talk.Close()
	if err != nil {
		return nil, errors.Join(err, life.Close(), out.Close())
	}
	go p.follow(out)
	if _, err := life.Write(append(text, '\n')); err != nil {
		p.Kill()
		return nil, errors.Join(err, p.Cause())
	}
	return p, nil
}

// await returns once the operator works, or else ends it.
func (p *Process) await(ctx context.Context) error {
	limit := time.NewTimer(readyLimit)
	defer limit.Stop()
	var err error
	select {
	case <-p.begun:
		return nil
	case <-p.ended:
		return p.Cause()
	case <-limit.C:
		err = fmt.Errorf("%w within %s%s", errNeverBegan, readyLimit, p.quoted())
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.Kill()
	return err
}

// follow hears what the process says until it has ended.
func (p *Process) follow(out io.ReadCloser) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		if line == word {
			close(p.begun)
			continue
		}
		p.mu.Lock()
		if p.words = append(p.words, line); len(p.words) > wordsKept {
			p.words = p.words[1:]
		}
		p.mu.Unlock()
	}
	_ = out.Close()
	err := p.command.Wait()
	_ = p.life.Close()
	p.mu.Lock()
	if err == nil {
		err = errors.New("exit status 0")
	}
	p.cause = fmt.Errorf("it ended: %w", err)
	wanted := p.wanted
	p.mu.Unlock()
	if !wanted {
		p.cause = fmt.Errorf("%w%s", p.cause, p.quoted())
	}
	close(p.ended)
}

// quoted returns the process's last words, for an error.
func (p *Process) quoted() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.words) == 0 {
		return "; a program that performs plans with RotatingSecrets calls operator.Main first"
	}
	return ":\n  " + strings.Join(p.words, "\n  ")
}

// Kill ends the operator without a chance to clean up, and returns when it is gone.
func (p *Process) Kill() {
	p.mu.Lock()
	p.wanted = true
	p.mu.Unlock()
	select {
	case <-p.ended: // its number may be another's by now
	default:
		programs.KillGroup(p.command.Process.Pid)
	}
	<-p.ended
}

// Ended is closed when the operator has ended, by itself or by Kill.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Cause says how it ended, once it has.
func (p *Process) Cause() error {
	select {
	case <-p.ended:
		return p.cause
	default:
		return nil
	}
}
