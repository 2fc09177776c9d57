// Package control runs the control plane of one cluster in this process: etcd, kube-apiserver,
// kube-controller-manager and kube-scheduler, each by its own code. Call [Run].
package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
)

// Config says where the control plane keeps its data and where it serves.
type Config struct {
	Data     string         // folder of etcd; an existing one is taken up again
	PKI      string         // folder of certificates and kubeconfigs, see package pki
	Address  netip.AddrPort // of the API server; pods must reach it
	Services string         // address range of Services
}

func (c Config) file(name string) string { return filepath.Join(c.PKI, name) }

var errEnded = errors.New("ended by itself")

// Run runs the four components until ctx ends or one of them does. It blocks.
func Run(ctx context.Context, config Config) error {
	etcd, err := startEtcd(ctx, filepath.Join(config.Data, "etcd"))
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer etcd.Close()
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	options, err := parseOptions(config, etcd.Config().AdvertiseClientUrls[0].String())
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	start := func(name string, run func(context.Context) error) {
		group.Go(func() error {
			err := run(ctx)
			if err == nil && ctx.Err() == nil {
				err = errEnded
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	start("kube-apiserver", options.apiserver)
	if err := settle(ctx, config); err != nil {
		return errors.Join(err, group.Wait())
	}
	start("kube-controller-manager", options.controllers)
	start("kube-scheduler", options.scheduling)
	return group.Wait()
}
