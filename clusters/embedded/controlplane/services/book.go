// Package services makes Services work: [ServeDNS] gives them names, [Proxy] gives their
// cluster addresses to pods (kube-proxy where the machine has nft, a relay of our own where it
// has not).
package services

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	listers "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// book knows every Service and its endpoints.
type book struct {
	services corelisters.ServiceLister
	slices   listers.EndpointSliceLister
	changes  []cache.SharedIndexInformer
}

var errUnsynced = errors.New("the API server's lists did not arrive")

// watch returns a book that is complete now and stays up to date until ctx ends.
func watch(ctx context.Context, kubeconfig string) (*book, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.UserAgent = "certquake-services"
	config.Dial = dialPatiently
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	factory := informers.NewSharedInformerFactory(client, time.Hour)
	services := factory.Core().V1().Services()
	endpoints := factory.Discovery().V1().EndpointSlices()
	b := &book{
		services: services.Lister(), slices: endpoints.Lister(),
		changes: []cache.SharedIndexInformer{services.Informer(), endpoints.Informer()},
	}
	factory.Start(ctx.Done())
	for _, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return nil, errUnsynced
		}
	}
	return b, nil
}

// redialEvery is how soon a book notices that the API server has come back.
const redialEvery = 20 * time.Millisecond

// dialPatiently waits for an API server that refuses connections because it does not run. The
// lists would otherwise be asked for again after up to half a minute.
func dialPatiently(ctx context.Context, network, address string) (net.Conn, error) {
	tick := time.NewTicker(redialEvery)
	defer tick.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return conn, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		}
	}
}

func (b *book) service(key string) *core.Service {
	namespace, name, _ := strings.Cut(key, "/")
	service, err := b.services.Services(namespace).Get(name)
	if err != nil {
		return nil
	}
	return service
}

// endpoint is one pod behind a Service.
type endpoint struct {
	address netip.Addr
	host    string // the pod's hostname, where its subdomain is the Service
	leaving bool   // the pod is being deleted
	ports   []discovery.EndpointPort
}

// label is the name of the endpoint below its Service.
func (e endpoint) label() string {
	if e.host != "" {
		return e.host
	}
	return strings.ReplaceAll(e.address.String(), ".", "-")
}

// endpoints returns the pods that may be sent to, in the order of their addresses. A Service
// that publishes addresses of pods that are not ready has its endpoints marked as ready by the
// controller, and so are here all its pods.
func (b *book) endpoints(key string) []endpoint {
	namespace, name, _ := strings.Cut(key, "/")
	selector := labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: name})
	found, err := b.slices.EndpointSlices(namespace).List(selector)
	if err != nil {
		return nil
	}
	var list []endpoint
	for _, slice := range found {
		if slice.AddressType != discovery.AddressTypeIPv4 {
			continue
		}
		for _, each := range slice.Endpoints {
			if one, ready := readyEndpoint(each); ready {
				one.ports = slice.Ports
				list = append(list, one)
			}
		}
	}
	slices.SortFunc(list, func(a, b endpoint) int { return a.address.Compare(b.address) })
	return list
}

func readyEndpoint(from discovery.Endpoint) (endpoint, bool) {
	conditions := from.Conditions
	if len(from.Addresses) == 0 || conditions.Ready != nil && !*conditions.Ready {
		return endpoint{}, false
	}
	address, err := netip.ParseAddr(from.Addresses[0])
	one := endpoint{address: address}
	if from.Hostname != nil {
		one.host = *from.Hostname
	}
	one.leaving = conditions.Terminating != nil && *conditions.Terminating
	return one, err == nil
}

func (b *book) addresses(key string) ([]record, bool) {
	service := b.service(key)
	if service == nil {
		return nil, false
	}
	if address, err := netip.ParseAddr(service.Spec.ClusterIP); err == nil {
		return []record{{address: address}}, true
	}
	return distinct(b.endpoints(key))
}

// pod resolves one name below a headless Service. While a pod is being replaced by one of the
// same hostname both may be published: the one that stays wins.
func (b *book) pod(key, host string) ([]record, bool) {
	var staying, leaving []endpoint
	for _, each := range b.endpoints(key) {
		switch {
		case !strings.EqualFold(each.label(), host):
		case each.leaving:
			leaving = append(leaving, each)
		default:
			staying = append(staying, each)
		}
	}
	if len(staying) > 0 {
		return distinct(staying)
	}
	return distinct(leaving)
}

// distinct returns each address once: while slices are rebalanced, two may hold the same.
func distinct(endpoints []endpoint) ([]record, bool) {
	var list []record
	for _, each := range endpoints {
		if n := len(list); n == 0 || list[n-1].address != each.address {
			list = append(list, record{address: each.address})
		}
	}
	return list, len(list) > 0
}

func (b *book) ports(key, port, protocol, host string) ([]record, bool) {
	service := b.service(key)
	if service == nil {
		return nil, false
	}
	var list []record
	if address, err := netip.ParseAddr(service.Spec.ClusterIP); err == nil {
		for _, each := range service.Spec.Ports {
			if each.Name == port && strings.EqualFold(string(each.Protocol), protocol) {
				list = append(list, record{address, portNumber(each.Port), host})
			}
		}
		return list, len(list) > 0
	}
	for _, each := range b.endpoints(key) {
		if number := portOf(each.ports, port, protocol); number != 0 {
			list = append(list, record{each.address, number, each.label() + "." + host})
		}
	}
	return list, len(list) > 0
}

// portOf returns the number of a named port, or zero.
func portOf(ports []discovery.EndpointPort, name, protocol string) uint16 {
	for _, port := range ports {
		named := port.Name != nil && *port.Name == name || port.Name == nil && name == ""
		spoken := port.Protocol == nil || strings.EqualFold(string(*port.Protocol), protocol)
		if named && spoken && port.Port != nil {
			return portNumber(*port.Port)
		}
	}
	return 0
}

// portNumber returns zero for what is no port; the API server admits none such.
func portNumber(port int32) uint16 {
	if port < 0 || port > math.MaxUint16 {
		return 0
	}
	return uint16(port)
}
