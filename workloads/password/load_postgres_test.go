//go:build postgres

package password_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/certquake/certquake/workloads/password"
)

// load is clients at work: each has three that use its pool, one of which also probes.
type load struct {
	stop context.CancelFunc
	done sync.WaitGroup

	mu    sync.Mutex
	moved *sync.Cond
	uses  []int // by worker
	tally map[password.Attempt]int
}

// run starts the load, which ends with the test at the latest.
func run(t *testing.T, clients ...*client) *load {
	t.Helper()
	l := &load{tally: map[password.Attempt]int{}}
	l.moved = sync.NewCond(&l.mu)
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	for _, c := range clients {
		for i := range 3 {
			worker := len(l.uses)
			l.uses = append(l.uses, 0)
			l.done.Go(func() { l.work(ctx, c.pool, worker, i == 0) })
		}
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) work(ctx context.Context, pool *password.Pool, worker int, probes bool) {
	for ctx.Err() == nil {
		attempts := []password.Attempt{pool.Use(context.WithoutCancel(ctx), query)}
		if probes {
			attempts = append(attempts, pool.Probe(context.WithoutCancel(ctx)))
		}
		l.mu.Lock()
		for _, a := range attempts {
			a.Err = nil
			l.tally[a]++
		}
		l.uses[worker]++
		l.moved.Broadcast()
		l.mu.Unlock()
	}
}

// settle waits until every worker has begun and ended so many uses from now on.
func (l *load) settle(uses int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for worker, before := range append([]int(nil), l.uses...) {
		for l.uses[worker] < before+1+uses { // one may have begun already
			l.moved.Wait()
		}
	}
}

// forget starts counting anew.
func (l *load) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.tally)
}

// end ends the load. It may be called again.
func (l *load) end() {
	l.stop()
	l.done.Wait()
}

// count sums up attempts: empty strings stand for any.
func (l *load) count(promise password.Promise, outcome password.Outcome, user string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for a, k := range l.tally {
		if (promise == "" || a.Promise == promise) && (outcome == "" || a.Outcome == outcome) &&
			(user == "" || a.User == user) {
			n += k
		}
	}
	return n
}

// requireOnly asserts that there were uses, with no other outcomes than these.
func (l *load) requireOnly(t *testing.T, outcomes ...password.Outcome) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	assert.NotEmpty(t, l.tally)
	for a, n := range l.tally {
		assert.Contains(t, outcomes, a.Outcome, "%d as %s, %s", n, a.User, a.Promise)
	}
	t.Log(fmt.Sprint(l.tally))
}
