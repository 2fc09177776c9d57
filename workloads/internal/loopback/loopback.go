// Package loopback finds addresses of this machine alone, for the tests of what listens.
package loopback

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
)

// Net hands out addresses of 127.<Number>.0.0/16. Programs that may run at the same time use other
// ones.
type Net struct {
	Number byte

	last atomic.Int32
}

// Reserve returns an address to listen at, with a port of its own and on an address of its own
// where the system has many, so that nothing takes it before it is listened at.
func (n *Net) Reserve(ctx context.Context) (string, error) {
	i := n.last.Add(1)
	var listening net.ListenConfig
	l, err := listening.Listen(ctx, "tcp",
		fmt.Sprintf("127.%d.%d.%d:0", n.Number, 1+i/250, 1+i%250))
	if err != nil {
		l, err = listening.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return "", fmt.Errorf("reserve an address: %w", err)
	}
	return l.Addr().String(), l.Close()
}
