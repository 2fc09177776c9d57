package peer

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"github.com/certquake/certquake/workloads/internal/process"
)

// peer is a process in its role as a peer.
type peer struct {
	kit          *process.Kit
	credentials  *credentials
	dialer       *dialer
	server       *server
	associations []*association
}

// Run is a peer from its start to its end. It returns nil after ctx is done or a Restart ended it
// gracefully; a Restart that kills does not return but exits the program with code 137. It blocks
// all the while.
//
// Its error is a *ConfigError, or wraps what kept it from listening. No goroutine is left behind,
// unless stdout or stderr itself never returns from a Write.
func Run(ctx context.Context, config Config, stdout, stderr io.Writer) error {
	if err := config.check(); err != nil {
		return err
	}
	return process.Run(ctx, config.settings(), stdout, stderr,
		func(attempts context.Context, kit *process.Kit) (process.Role, error) {
			return newPeer(attempts, &config, kit), nil
		})
}

func newPeer(attempts context.Context, c *Config, kit *process.Kit) *peer {
	m := newMetrics(kit.Metrics)
	p := &peer{kit: kit, credentials: newCredentials(attempts, c, kit, m)}
	p.dialer = newDialer(c, kit, m, p.credentials)
	p.server = &server{config: c, kit: kit, metrics: m, credentials: p.credentials}
	for i := range c.Associations {
		p.associations = append(p.associations,
			&association{target: &c.Associations[i], dialer: p.dialer})
	}
	return p
}

// Begin implements process.Role.
func (p *peer) Begin(context.Context) { p.credentials.begin() }

// Serve implements process.Role.
func (p *peer) Serve(running, attempts context.Context, listener net.Listener) {
	p.server.run(running, attempts, listener)
}

// Run implements process.Role.
func (p *peer) Run(running, attempts context.Context, from time.Duration) {
	var all sync.WaitGroup
	for _, a := range p.associations {
		all.Go(func() { a.run(running, attempts, from) })
	}
	all.Go(func() { p.kit.Volume.Watch(running, p.credentials.notify) })
	all.Go(func() { p.credentials.poll(running) })
	all.Wait()
}

// Attempt implements process.Role.
func (p *peer) Attempt(
	ctx context.Context, target *Target, due time.Duration, good *process.Successes,
) {
	p.dialer.canary(ctx, target, due, good)
}

var _ process.Role = (*peer)(nil)
