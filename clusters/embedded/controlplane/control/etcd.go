package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
)

// segment replaces etcd's preallocation of 64 MB per log segment: the log may lie in memory.
const segment = 4 << 20

// etcdStartMax bounds the wait for etcd's election of itself.
const etcdStartMax = 30 * time.Second

// startEtcd starts a single member on loopback. It never syncs to disk: the data need only
// survive this process, not the machine.
func startEtcd(ctx context.Context, dir string) (*embed.Etcd, error) {
	wal.SegmentSizeBytes = segment
	config := embed.NewConfig()
	config.Dir = dir
	config.LogLevel = "error"
	config.UnsafeNoFsync = true
	client, err := freeURL(ctx)
	if err != nil {
		return nil, err
	}
	peer, err := freeURL(ctx)
	if err != nil {
		return nil, err
	}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return etcd, nil
	case err = <-etcd.Err():
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(etcdStartMax):
		err = errors.New("no leader in time")
	}
	etcd.Close()
	return nil, err
}

func freeURL(ctx context.Context) (url.URL, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return url.URL{}, fmt.Errorf("find port: %w", err)
	}
	defer func() { _ = listener.Close() }()
	return url.URL{Scheme: "http", Host: listener.Addr().String()}, nil
}
