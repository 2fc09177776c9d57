package services

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"

	"github.com/certquake/certquake/clusters/embedded/controlplane/splice"
)

// Relay stands in for kube-proxy where there is no nft: it listens at the cluster address of
// every Service and copies TCP connections to a random ready pod. Pods see the node as their
// client, UDP is not carried, and a connection costs a copy through this process; TLS passes
// through untouched. The addresses must be local to this network namespace. It blocks.
func Relay(ctx context.Context, kubeconfig string) error {
	book, err := watch(ctx, kubeconfig)
	if err != nil {
		return err
	}
	r := &relay{book: book, doors: map[door]net.Listener{}}
	changed := make(chan struct{}, 1)
	poke := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	_, err = book.changes[0].AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { poke() }, DeleteFunc: func(any) { poke() },
		UpdateFunc: func(_, _ any) { poke() },
	})
	if err != nil {
		return fmt.Errorf("follow Services: %w", err)
	}
	for ctx.Err() == nil {
		select {
		case <-changed:
			if err := r.reconcile(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
		}
	}
	for _, listener := range r.doors {
		_ = listener.Close()
	}
	r.open.Wait()
	return nil
}

// relay holds one listener for each port of each Service.
type relay struct {
	book  *book
	doors map[door]net.Listener
	open  sync.WaitGroup // of listeners
}

// door is where a Service is reached, and what lies behind.
type door struct {
	at   netip.AddrPort
	key  string // of the Service
	port string // name
}

// reconcile opens missing listeners and closes those of Services that are gone.
func (r *relay) reconcile(ctx context.Context) error {
	services, err := r.book.services.List(labels.Everything())
	if err != nil {
		return err
	}
	wanted := map[door]bool{}
	for _, service := range services {
		for _, d := range doors(service) {
			wanted[d] = true
		}
	}
	for d, listener := range r.doors {
		if !wanted[d] {
			_ = listener.Close()
			delete(r.doors, d)
		}
	}
	for d := range wanted {
		if r.doors[d] != nil {
			continue
		}
		listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(d.at))
		if err != nil {
			return fmt.Errorf("listen for Service %s: %w", d.key, err)
		}
		r.doors[d] = listener
		r.open.Go(func() {
			splice.Serve(ctx, listener, func() (netip.AddrPort, bool) { return r.choose(d) })
		})
	}
	return nil
}

func doors(service *core.Service) []door {
	address, err := netip.ParseAddr(service.Spec.ClusterIP)
	if err != nil {
		return nil
	}
	var list []door
	for _, port := range service.Spec.Ports {
		if port.Protocol == core.ProtocolTCP {
			list = append(list, door{
				at:  netip.AddrPortFrom(address, portNumber(port.Port)),
				key: service.Namespace + "/" + service.Name, port: port.Name,
			})
		}
	}
	return list
}

func (r *relay) choose(d door) (netip.AddrPort, bool) {
	var ready []netip.AddrPort
	for _, each := range r.book.endpoints(d.key) {
		if port := portOf(each.ports, d.port, string(core.ProtocolTCP)); port != 0 {
			ready = append(ready, netip.AddrPortFrom(each.address, port))
		}
	}
	if len(ready) == 0 {
		return netip.AddrPort{}, false
	}
	return ready[rand.IntN(len(ready))], true
}
