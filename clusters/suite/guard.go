package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// errInterrupted is the cause of a context that ended with Ctrl-C.
var errInterrupted = errors.New("interrupted")

// exitInterrupted is the exit code of a program that a signal ended.
const exitInterrupted = 130

// guard keeps Ctrl-C from ending the tests' program with a cluster left behind. The first signal
// ends the context, the second takes the cluster down and ends the program.
type guard struct {
	signals chan os.Signal
	done    chan struct{}
	watch   sync.WaitGroup

	mu   sync.Mutex
	down func() error // nil while there is no cluster
}

// watchSignals returns a context that ends with the first signal.
func watchSignals(ctx context.Context) (context.Context, *guard) {
	ctx, cancel := context.WithCancelCause(ctx)
	g := &guard{signals: make(chan os.Signal, 2), done: make(chan struct{})}
	signal.Notify(g.signals, os.Interrupt, syscall.SIGTERM)
	g.watch.Go(func() {
		defer cancel(nil)
		if !g.next() {
			return
		}
		_, _ = fmt.Fprintln(os.Stderr, "certquake: interrupted: the tests come to their end; "+
			"once more takes the cluster down at once")
		cancel(errInterrupted)
		if g.next() {
			g.leave()
			os.Exit(exitInterrupted)
		}
	})
	return ctx, g
}

// next waits for a signal and reports whether there was one before the end.
func (g *guard) next() bool {
	select {
	case <-g.signals:
		return true
	case <-g.done:
		return false
	}
}

// protect has a second signal call down.
func (g *guard) protect(down func() error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.down = down
}

// leave takes the cluster down, if there is one.
func (g *guard) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.down == nil {
		return
	}
	if err := g.down(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "certquake: take the cluster of the tests down:", err)
	}
}

// end gives signals back to whoever had them before.
func (g *guard) end() {
	signal.Stop(g.signals)
	close(g.done)
	g.watch.Wait()
}
