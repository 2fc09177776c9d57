package services

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	listers "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
)

// shelf is a book whose content a test writes itself.
type shelf struct {
	*book
	t        *testing.T
	services cache.Indexer
	slices   cache.Indexer
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	indexers := cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	services := cache.NewIndexer(cache.MetaNamespaceKeyFunc, indexers)
	slices := cache.NewIndexer(cache.MetaNamespaceKeyFunc, indexers)
	return &shelf{t: t, services: services, slices: slices, book: &book{
		services: corelisters.NewServiceLister(services),
		slices:   listers.NewEndpointSliceLister(slices),
	}}
}

func (s *shelf) service(name, address string) {
	s.t.Helper()
	require.NoError(s.t, s.services.Add(&core.Service{
		ObjectMeta: meta.ObjectMeta{Namespace: "lab", Name: name},
		Spec: core.ServiceSpec{ClusterIP: address, Ports: []core.ServicePort{
			{Name: "tls", Port: 8443, Protocol: core.ProtocolTCP},
		}},
	}))
}

// slice puts the endpoints behind my-service, in place of those of that slice before.
func (s *shelf) slice(name string, endpoints ...discovery.Endpoint) {
	s.t.Helper()
	port, number := "tls", int32(8443)
	require.NoError(s.t, s.slices.Add(&discovery.EndpointSlice{
		ObjectMeta: meta.ObjectMeta{
			Namespace: "lab", Name: name,
			Labels: map[string]string{discovery.LabelServiceName: "my-service"},
		},
		AddressType: discovery.AddressTypeIPv4, Endpoints: endpoints,
		Ports: []discovery.EndpointPort{{Name: &port, Port: &number}},
	}))
}

func pod(address, host string, ready, leaving bool) discovery.Endpoint {
	one := discovery.Endpoint{
		Addresses:  []string{address},
		Conditions: discovery.EndpointConditions{Ready: &ready, Terminating: &leaving},
	}
	if host != "" {
		one.Hostname = &host
	}
	return one
}

// ask returns the code and the answers, without their heads.
func (s *shelf) ask(name string, kind uint16) (string, []string) {
	s.t.Helper()
	answer := reply(s.book, new(dns.Msg).SetQuestion(name, kind))
	var texts []string
	for _, each := range answer.Answer {
		assert.Zero(s.t, each.Header().Ttl, "the answer may be kept")
		assert.Equal(s.t, name, each.Header().Name)
		texts = append(texts, each.String()[len(each.Header().String()):])
	}
	return dns.RcodeToString[answer.Rcode], texts
}

func TestNames(t *testing.T) {
	s := newShelf(t)
	s.service("web", "10.96.0.7")
	s.service("my-service", core.ClusterIPNone)
	s.service("empty", core.ClusterIPNone)
	s.slice("a", pod("10.244.1.3", "my-service-3", true, false),
		pod("10.244.1.4", "", true, false), pod("10.244.1.5", "my-service-5", false, false))
	s.slice("b", pod("10.244.2.9", "my-service-1", true, false),
		pod("10.244.1.3", "my-service-3", true, false))
	const zone = ".lab.svc.cluster.local."
	for name, c := range map[string]struct {
		question string
		kind     uint16
		code     string
		want     []string
	}{
		"cluster address": {"web" + zone, dns.TypeA, "NOERROR", []string{"10.96.0.7"}},
		"every pod once": {
			"my-service" + zone, dns.TypeA, "NOERROR",
			[]string{"10.244.1.3", "10.244.1.4", "10.244.2.9"},
		},
		"hostname": {
			"my-service-3.my-service" + zone, dns.TypeA, "NOERROR", []string{"10.244.1.3"},
		},
		"any case": {
			"My-Service-1.my-service" + zone, dns.TypeA, "NOERROR", []string{"10.244.2.9"},
		},
		"address as name": {
			"10-244-1-4.my-service" + zone, dns.TypeA, "NOERROR", []string{"10.244.1.4"},
		},
		"no IPv6": {"my-service-3.my-service" + zone, dns.TypeAAAA, "NOERROR", nil},
		"ports": {
			"_tls._tcp.web" + zone, dns.TypeSRV, "NOERROR",
			[]string{"0 1 8443 web" + zone},
		},
		"unpublished pod":  {"my-service-5.my-service" + zone, dns.TypeA, "NXDOMAIN", nil},
		"unknown pod":      {"my-service-7.my-service" + zone, dns.TypeA, "NXDOMAIN", nil},
		"unknown Service":  {"other" + zone, dns.TypeAAAA, "NXDOMAIN", nil},
		"no pod":           {"empty" + zone, dns.TypeA, "NXDOMAIN", nil},
		"outside":          {"example.org.", dns.TypeA, "NXDOMAIN", nil},
		"search path":      {"example.org" + zone, dns.TypeA, "NXDOMAIN", nil},
		"search path, own": {"web" + zone + "svc.cluster.local.", dns.TypeA, "NXDOMAIN", nil},
	} {
		t.Run(name, func(t *testing.T) {
			code, got := s.ask(c.question, c.kind)
			assert.Equal(t, c.code, code)
			assert.Equal(t, c.want, got)
		})
	}
}

// TestReplacedPod follows one hostname from a pod to the next.
func TestReplacedPod(t *testing.T) {
	const name = "my-service-3.my-service.lab.svc.cluster.local."
	s := newShelf(t)
	s.service("my-service", core.ClusterIPNone)
	for _, step := range []struct {
		name string
		pods []discovery.Endpoint
		want []string
	}{
		{
			"alone",
			[]discovery.Endpoint{pod("10.244.1.3", "my-service-3", true, false)},
			[]string{"10.244.1.3"},
		},
		{
			"leaving",
			[]discovery.Endpoint{pod("10.244.1.3", "my-service-3", true, true)},
			[]string{"10.244.1.3"},
		},
		{"both", []discovery.Endpoint{
			pod("10.244.1.3", "my-service-3", true, true),
			pod("10.244.2.4", "my-service-3", true, false),
		}, []string{"10.244.2.4"}},
		{
			"replaced",
			[]discovery.Endpoint{pod("10.244.2.4", "my-service-3", true, false)},
			[]string{"10.244.2.4"},
		},
	} {
		s.slice("a", step.pods...)
		_, got := s.ask(name, dns.TypeA)
		assert.Equal(t, step.want, got, step.name)
	}
}

// TestManyPods asks for more than a datagram holds: the answer is cut and says so.
func TestManyPods(t *testing.T) {
	s := newShelf(t)
	s.service("my-service", core.ClusterIPNone)
	var pods []discovery.Endpoint
	address := netip.MustParseAddr("10.244.1.0")
	for i := range 200 {
		address = address.Next()
		pods = append(pods, pod(address.String(), fmt.Sprintf("my-service-%d", i), true, false))
	}
	s.slice("a", pods...)
	for name, c := range map[string]struct {
		size      uint16
		truncated bool
		max       int
	}{
		"without EDNS0": {0, true, 512},
		"Go's resolver": {1232, true, 1232},
		"large":         {65000, false, 4096},
	} {
		query := new(dns.Msg).SetQuestion("my-service.lab.svc.cluster.local.", dns.TypeA)
		if c.size > 0 {
			query.SetEdns0(c.size, false)
		}
		answer := reply(s.book, query)
		require.Len(t, answer.Answer, 200, name)
		fit(answer, query)
		assert.Equal(t, c.truncated, answer.Truncated, name)
		assert.Equal(t, c.size > 0, answer.IsEdns0() != nil, name)
		text, err := answer.Pack()
		require.NoError(t, err)
		assert.LessOrEqual(t, len(text), c.max, name)
	}
}
