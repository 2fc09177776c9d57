package process

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/certquake/certquake/harness/record"
)

// A vanished peer is noticed keepAliveEvery * (1 + keepAliveTries) after it was last heard of.
const (
	keepAliveEvery = time.Second
	keepAliveTries = 3
)

// KeepAlive has the kernel notice that a peer is gone on a connection that nothing is sent over.
func KeepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{
		Enable: true, Idle: keepAliveEvery, Interval: keepAliveEvery, Count: keepAliveTries,
	}
}

// NewDialer returns what connections are made with.
func NewDialer() net.Dialer {
	return net.Dialer{KeepAliveConfig: KeepAlive(), Resolver: &net.Resolver{PreferGo: true}}
}

// NotConnected tells why there is no connection at all, and the end that decided it, if one did.
func NotConnected(err error) (record.Outcome, record.Side) {
	name, named := errors.AsType[*net.DNSError](err)
	timing, timed := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, context.Canceled):
		return record.Canceled, ""
	case named && name.IsNotFound, nobody(err):
		return record.Unreachable, record.Client
	case timed && timing.Timeout():
		return record.Timeout, ""
	}
	return record.Other, ""
}

// nobody reports whether the network said that no process listens at the address.
func nobody(err error) bool {
	for _, no := range []syscall.Errno{
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EHOSTUNREACH, syscall.EHOSTDOWN,
		syscall.ENETUNREACH, syscall.ENETDOWN,
	} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}
