package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/programs"
	"github.com/certquake/certquake/harness"
)

const (
	endMax    = 10 * time.Second  // for an end in order; one takes half a second
	outputMax = 5 * time.Second   // for the rest of the output of a process that has ended
	writeMax  = 10 * time.Second  // for a command to be taken
	answerMax = 150 * time.Second // for its answer; the control plane gives itself 2 minutes
	lastWords = 5                 // lines of standard error in the error of an unexpected end
)

var (
	errRefused = errors.New("the cluster refuses")
	errEnded   = errors.New("the cluster was ended")
	errLate    = errors.New("no answer in time")
)

// child is the control plane's process. Its standard input is its life line: the cluster ends when
// it is closed, by whatever closes it.
type child struct {
	process *exec.Cmd
	input   *os.File
	log     *os.File
	say     func(string) // until it is ready
	ready   ready        // valid once isReady is closed

	isReady chan struct{}
	broken  chan struct{} // closed when it ended by itself, or says that it will
	ended   chan struct{} // closed when nothing of it runs any more
	ending  sync.Once

	writing sync.Mutex // apart, so that answers are taken meanwhile

	mutex   sync.Mutex
	wanted  bool // it is to end
	serial  int
	pending map[string]chan answer // by id
	words   []string               // the last lines of standard error
	cause   error                  // set before broken is closed
}

// startChild starts the program and hands it the configuration. What it says on standard error goes
// into a log in the folder, and to ctx's talk until it is ready.
func startChild(
	ctx context.Context, program string, in *folder, first config,
) (*child, error) {
	log, err := os.Create(filepath.Join(in.path, "controlplane.log"))
	if err != nil {
		return nil, fmt.Errorf("write a log: %w", err)
	}
	input, life, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	c := &child{
		input: life, log: log, pending: map[string]chan answer{}, isReady: make(chan struct{}),
		broken: make(chan struct{}), ended: make(chan struct{}),
		say: func(line string) { harness.Say(ctx, "%s", line) },
	}
	out, talk := &lines{take: c.hear}, &lines{take: c.overhear}
	// The process outlives ctx, and ends by its input.
	c.process = exec.CommandContext(context.WithoutCancel(ctx), program, "run", "-config", "-")
	if in.lock != nil { // a folder of ours, not one that somebody chose
		c.process.Args = append(c.process.Args, "-remove-orphaned", in.path)
	}
	c.process.Stdin, c.process.Stdout, c.process.Stderr = input, out, talk
	c.process.SysProcAttr = programs.OwnGroup() // out of reach of a terminal's Ctrl-C
	c.process.WaitDelay = outputMax
	err = c.process.Start()
	_ = input.Close() // the child has its own
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", program, err), life.Close(), log.Close())
	}
	go c.follow(out, talk)
	if err := c.write(first); err != nil {
		c.end(ctx)
		return nil, errors.Join(err, c.failure())
	}
	return c, nil
}

// follow waits for the end of the process and of its output, which its own children hold open.
func (c *child) follow(out, talk *lines) {
	err := c.process.Wait()
	out.flush()
	talk.flush()
	if err == nil {
		err = errors.New("exit status 0")
	}
	c.fail(fmt.Errorf("controlplane ended by itself: %w%s", err, c.quoted()))
	_ = c.input.Close()
	_ = c.log.Close()
	close(c.ended)
}

// fail marks the cluster as broken for the first cause, unless it is to end.
func (c *child) fail(cause error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.wanted || c.cause != nil {
		return
	}
	c.cause = fmt.Errorf("%w: %w", clusters.ErrBroken, cause)
	close(c.broken)
}

// failure says why the cluster broke, or that it was ended.
func (c *child) failure() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.cause == nil {
		return errEnded
	}
	return c.cause
}

// quoted returns the last words on standard error, for an error.
func (c *child) quoted() string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if len(c.words) == 0 {
		return ""
	}
	return ", after saying: " + strings.Join(c.words, "; ")
}

// overhear takes a line of standard error.
func (c *child) overhear(data []byte) {
	_, _ = fmt.Fprintf(c.log, "%s\n", data)
	words := strings.TrimSpace(strings.TrimPrefix(string(data), "controlplane: "))
	c.mutex.Lock()
	c.words = append(c.words, words)
	c.words = c.words[max(0, len(c.words)-lastWords):]
	wanted := c.wanted
	c.mutex.Unlock()
	select {
	case <-c.isReady:
	default:
		if !wanted {
			c.say(words)
		}
	}
}

// hear takes a line of standard output. One that is not understood is logged and passed over.
func (c *child) hear(data []byte) {
	var line line
	err := json.Unmarshal(data, &line)
	switch {
	case err == nil && line.Event == eventReady && !c.announced():
		c.ready = line.ready
		close(c.isReady)
	case err == nil && line.Event == eventAnswer && c.deliver(line.answer):
	case err == nil && line.Event == eventFailed:
		c.fail(errors.New(line.Error))
	default:
		_, _ = fmt.Fprintf(c.log, "certquake: passed over: %.1000s\n", data)
	}
}

func (c *child) announced() bool {
	select {
	case <-c.isReady:
		return true
	default:
		return false
	}
}

// deliver hands an answer to whom it is for, and reports whether there is somebody.
func (c *child) deliver(a answer) bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	waiting, found := c.pending[a.ID]
	if found {
		delete(c.pending, a.ID)
		waiting <- a // has room
	}
	return found
}

// awaitReady returns once the cluster is ready.
func (c *child) awaitReady(ctx context.Context, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c.isReady:
		return nil
	case <-c.broken:
		return c.failure()
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return fmt.Errorf("%w: not ready within %s%s", clusters.ErrBroken, limit, c.quoted())
	}
}

// request sends a command and returns how long its effect took to be seen.
func (c *child) request(ctx context.Context, command command) (time.Duration, error) {
	id, answered := c.expect()
	defer c.forget(id)
	command.ID = id
	if err := c.write(command); err != nil {
		return 0, err
	}
	timer := time.NewTimer(answerMax)
	defer timer.Stop()
	select {
	case a := <-answered:
		if !a.OK {
			return 0, fmt.Errorf("%w %s: %s", errRefused, command.Do, a.Error)
		}
		return a.Took, nil
	case <-c.broken:
		return 0, c.failure()
	case <-c.ended:
		return 0, c.failure()
	case <-ctx.Done():
		return 0, fmt.Errorf("%s: %w", command.Do, context.Cause(ctx))
	case <-timer.C:
		return 0, fmt.Errorf("%w: %s: %w (%s)", clusters.ErrBroken, command.Do, errLate, answerMax)
	}
}

func (c *child) expect() (string, <-chan answer) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.serial++
	id, answered := strconv.Itoa(c.serial), make(chan answer, 1)
	c.pending[id] = answered
	return id, answered
}

func (c *child) forget(id string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	delete(c.pending, id)
}

// write sends one line. A child that does not read cannot block it for long.
func (c *child) write(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("tell the control plane: %w", err)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.input.SetWriteDeadline(time.Now().Add(writeMax)); err != nil {
		return c.failure() // the life line is closed
	}
	if _, err := io.WriteString(c.input, string(text)+"\n"); err != nil {
		return fmt.Errorf("%w: tell the control plane: %w", clusters.ErrBroken, err)
	}
	return nil
}

// end closes the life line, and kills the process when it has not ended in time or ctx is done. It
// returns when nothing runs any more.
func (c *child) end(ctx context.Context) {
	c.ending.Do(func() {
		c.mutex.Lock()
		c.wanted = true
		c.mutex.Unlock()
		_ = c.input.Close()
		timer := time.NewTimer(endMax)
		defer timer.Stop()
		select {
		case <-c.ended:
			return
		case <-timer.C:
		case <-ctx.Done():
		}
		programs.KillGroup(c.process.Process.Pid)
	})
	<-c.ended
}
