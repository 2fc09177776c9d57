package bearer

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/internal/process"
	"github.com/certquake/certquake/workloads/peer"
	"github.com/certquake/certquake/workloads/token"
)

// bearer is a process in its role with tokens.
type bearer struct {
	kit     *process.Kit
	metrics *metrics
	rings   *rings   // nil without a mount
	fetches *fetches // nil with one
	caller  *caller  // of an issuer
	handler http.Handler
}

// Run is a pod's process from its start to its end. It returns nil after ctx is done or a Restart
// ended it gracefully; a Restart that kills does not return but exits the program with code 137. It
// blocks all the while.
//
// Its error is a *peer.ConfigError, or wraps what kept it from listening. No goroutine is left
// behind, unless stdout or stderr itself never returns from a Write.
func Run(ctx context.Context, config Config, stdout, stderr io.Writer) error {
	if err := config.check(); err != nil {
		return err
	}
	return process.Run(ctx, config.settings(), stdout, stderr,
		func(_ context.Context, kit *process.Kit) (process.Role, error) {
			return newBearer(&config, kit)
		})
}

// newBearer makes the parts of a role; its error is of settings that were checked before.
func newBearer(c *Config, kit *process.Kit) (*bearer, error) {
	b := &bearer{kit: kit, metrics: newMetrics(kit.Metrics)}
	var err error
	if c.JWKS == nil {
		b.rings = newRings(c, kit, b.metrics)
	} else if b.fetches, err = newFetches(c, kit, b.metrics); err != nil {
		return nil, err
	}
	if c.Role == Issuer {
		if b.caller, err = newCaller(c, kit, b.metrics, b.rings); err != nil {
			return nil, err
		}
		b.handler, err = newPublisher(c, b.rings)
		return b, err
	}
	keys, held := token.Keys(b.fetches), func() record.Generation { return b.fetches.held() }
	if b.rings != nil {
		keys, held = token.NewRingKeys(c.Token.Algorithm, b.rings.demand), b.rings.held
	}
	verifier, err := token.NewVerifier(c.Token, keys)
	if err != nil {
		return nil, fmt.Errorf("make a verifier: %w", err)
	}
	b.handler = &server{
		deadline: c.Deadline, kit: kit, metrics: b.metrics, verifier: verifier, held: held,
	}
	return b, nil
}

// Begin implements process.Role.
func (b *bearer) Begin(ctx context.Context) {
	if b.rings != nil {
		b.rings.begin()
	}
	if b.fetches != nil {
		b.fetches.begin(ctx)
	}
	if b.caller != nil {
		b.caller.begin()
	}
}

// Serve implements process.Role.
func (b *bearer) Serve(running, attempts context.Context, listener net.Listener) {
	web := &http.Server{
		Handler:           http.HandlerFunc(b.serve),
		ReadHeaderTimeout: b.kit.Settings.Deadline,
		BaseContext:       func(net.Listener) context.Context { return attempts },
		ErrorLog:          quiet(b.kit.Log),
	}
	_ = web.Serve(listener) // it ends when the listener is closed
	process.ShutDown(running, web)
}

// serve answers once the process has begun. A call that comes before waits for that.
func (b *bearer) serve(w http.ResponseWriter, r *http.Request) {
	timer := time.NewTimer(b.kit.Settings.Deadline)
	defer timer.Stop()
	select {
	case <-b.kit.Started:
	case <-timer.C:
		panic(http.ErrAbortHandler) // the connection is closed without a word
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
	w.Header().Set(headerPod, b.kit.Settings.Pod)
	b.handler.ServeHTTP(w, r)
}

// Run implements process.Role.
func (b *bearer) Run(running, _ context.Context, _ time.Duration) {
	var all sync.WaitGroup
	all.Go(func() { b.kit.Volume.Watch(running, func() {}) })
	if b.fetches != nil {
		all.Go(func() { b.fetches.poll(running) })
	}
	all.Wait()
}

// Attempt implements process.Role.
func (b *bearer) Attempt(
	ctx context.Context, target *peer.Target, due time.Duration, good *process.Successes,
) {
	b.caller.attempt(ctx, target, due, good)
}

var _ process.Role = (*bearer)(nil)
