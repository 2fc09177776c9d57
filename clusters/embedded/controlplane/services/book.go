// Package services makes Services work: [ServeDNS] gives them names, [Proxy] gives their
// cluster addresses to pods (kube-proxy where the machine has nft, a relay of our own where it
// has not).
package services

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sort"
	"strings"
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
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	factory := informers.NewSharedInformerFactory(client, time.Hour)
	services := factory.Core().V1().Services()
	slices := factory.Discovery().V1().EndpointSlices()
	b := &book{
		services: services.Lister(), slices: slices.Lister(),
		changes: []cache.SharedIndexInformer{services.Informer(), slices.Informer()},
	}
	factory.Start(ctx.Done())
	for _, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return nil, errUnsynced
		}
	}
	return b, nil
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
	host    string
	ports   []discovery.EndpointPort
}

// endpoints returns the pods that may be sent to, in the order of their addresses.
func (b *book) endpoints(key string) []endpoint {
	namespace, name, _ := strings.Cut(key, "/")
	selector := labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: name})
	slices, err := b.slices.EndpointSlices(namespace).List(selector)
	if err != nil {
		return nil
	}
	var list []endpoint
	for _, slice := range slices {
		for _, each := range slice.Endpoints {
			address, err := netip.ParseAddr(each.Addresses[0])
			if err != nil || each.Conditions.Ready != nil && !*each.Conditions.Ready {
				continue
			}
			one := endpoint{address: address, ports: slice.Ports}
			if each.Hostname != nil {
				one.host = *each.Hostname
			}
			list = append(list, one)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].address.Less(list[j].address) })
	return list
}

func (b *book) addresses(key string) ([]record, bool) {
	service := b.service(key)
	if service == nil {
		return nil, false
	}
	if address, err := netip.ParseAddr(service.Spec.ClusterIP); err == nil {
		return []record{{address: address}}, true
	}
	var list []record
	for _, each := range b.endpoints(key) {
		list = append(list, record{address: each.address})
	}
	return list, len(list) > 0
}

func (b *book) pod(key, host string) ([]record, bool) {
	for _, each := range b.endpoints(key) {
		if strings.EqualFold(each.host, host) ||
			strings.ReplaceAll(each.address.String(), ".", "-") == host {
			return []record{{address: each.address}}, true
		}
	}
	return nil, false
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
				list = append(list, record{address, uint16(each.Port), host})
			}
		}
		return list, len(list) > 0
	}
	for _, each := range b.endpoints(key) {
		name := each.host
		if name == "" {
			name = strings.ReplaceAll(each.address.String(), ".", "-")
		}
		if number := portOf(each.ports, port, protocol); number != 0 {
			list = append(list, record{each.address, number, name + "." + host})
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
			return uint16(*port.Port)
		}
	}
	return 0
}
