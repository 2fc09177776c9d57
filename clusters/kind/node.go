package kind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/kind/pkg/cluster/nodes"
)

// node is one node's container.
type node struct{ nodes.Node }

// sh runs a script of the shell in the node and returns what it prints.
func (n node) sh(ctx context.Context, script string, args ...string) (string, error) {
	return n.feed(ctx, nil, script, args...)
}

// feed is sh with a standard input.
func (n node) feed(
	ctx context.Context, input io.Reader, script string, args ...string,
) (string, error) {
	var out, problem bytes.Buffer
	cmd := n.CommandContext(ctx, "sh", append([]string{"-c", script, "sh"}, args...)...)
	cmd.SetStdout(&out).SetStderr(&problem)
	if input != nil {
		cmd.SetStdin(input)
	}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("node %s: %w", n, context.Cause(ctx))
		}
		return "", fmt.Errorf("node %s: %w: %s", n, explain(err), tail(problem.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// all runs what is to be done at the same time. The first error ends the others.
func all(ctx context.Context, do ...func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	var once sync.Once
	var first error
	for _, each := range do {
		group.Go(func() {
			if err := each(ctx); err != nil {
				once.Do(func() {
					first = err
					cancel()
				})
			}
		})
	}
	group.Wait()
	return first
}

// errLate is of something that did not happen in time.
var errLate = errors.New("not in time")

// until asks again and again whether something has happened, for as long as limit. An error is no
// answer, and is told if there never is one.
func until(
	ctx context.Context, what string, every, limit time.Duration,
	happened func(ctx context.Context) (bool, error),
) error {
	limited, cancel := context.WithTimeoutCause(ctx, limit, errLate)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last error
	for {
		yes, err := happened(limited)
		if yes && err == nil {
			return nil
		}
		if limited.Err() == nil {
			last = err
		}
		select {
		case <-tick.C:
		case <-limited.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return errors.Join(fmt.Errorf("%s: %w (%s)", what, errLate, limit), last)
		}
	}
}
