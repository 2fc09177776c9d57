package services

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

// ttl lets nobody keep an answer: a headless Service changes with every pod, and a pod that was
// replaced must be found at its new address at once.
const ttl = 0

// Bounds of an answer by UDP where the client names none (RFC 1035), and where it names any:
// what does not fit is marked as truncated, and asked for again by TCP.
const (
	udpSizeMin = dns.MinMsgSize
	udpSizeMax = 4096
)

// zone is the cluster's domain.
const zone = "cluster.local."

// ServeDNS answers for Services, by UDP and TCP on port 53 of address, until ctx ends. Names
// outside the cluster do not exist: there is no way out. It blocks.
func ServeDNS(ctx context.Context, kubeconfig, address string) error {
	book, err := watch(ctx, kubeconfig)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, network := range []string{"udp", "tcp"} {
		server := &dns.Server{
			Addr: net.JoinHostPort(address, "53"), Net: network,
			Handler: dns.HandlerFunc(func(to dns.ResponseWriter, query *dns.Msg) {
				answer := reply(book, query)
				if network == "udp" {
					fit(answer, query)
				}
				_ = to.WriteMsg(answer) // the client has gone
			}),
		}
		group.Go(func() error {
			if err := server.ListenAndServe(); err != nil {
				return fmt.Errorf("serve DNS by %s: %w", network, err)
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			return server.ShutdownContext(context.WithoutCancel(ctx))
		})
	}
	if err := group.Wait(); ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
		return err
	}
	return nil
}

func reply(book *book, query *dns.Msg) *dns.Msg {
	answer := new(dns.Msg)
	answer.SetReply(query)
	answer.Authoritative, answer.Compress = true, true
	if len(query.Question) != 1 {
		return answer.SetRcode(query, dns.RcodeFormatError)
	}
	question := query.Question[0]
	found, exists := lookup(book, question.Name)
	if !exists {
		return answer.SetRcode(query, dns.RcodeNameError)
	}
	for _, each := range found {
		head := dns.RR_Header{Name: question.Name, Class: dns.ClassINET, Ttl: ttl}
		switch {
		case question.Qtype == dns.TypeA:
			head.Rrtype = dns.TypeA
			answer.Answer = append(answer.Answer,
				&dns.A{Hdr: head, A: net.IP(each.address.AsSlice())})
		case question.Qtype == dns.TypeSRV && each.port != 0:
			head.Rrtype = dns.TypeSRV
			answer.Answer = append(answer.Answer, &dns.SRV{
				Hdr: head, Priority: 0, Weight: 1, Port: each.port, Target: each.host,
			})
		}
	}
	return answer
}

// fit shortens an answer to what the client can take.
func fit(answer, query *dns.Msg) {
	size := udpSizeMin
	if options := query.IsEdns0(); options != nil {
		size = min(max(int(options.UDPSize()), udpSizeMin), udpSizeMax)
		answer.SetEdns0(udpSizeMax, false)
	}
	answer.Truncate(size)
}

// record is one address behind a name, with the port and host of an SRV answer.
type record struct {
	address netip.Addr
	port    uint16
	host    string
}

// lookup resolves the names that Kubernetes promises:
//
//	SERVICE.NAMESPACE.svc.cluster.local          cluster address, or every published pod
//	HOSTNAME.SERVICE.NAMESPACE.svc.cluster.local one pod of a headless Service
//	_PORT._PROTOCOL.SERVICE.NAMESPACE.svc...     ports
func lookup(book *book, name string) ([]record, bool) {
	inside, ok := strings.CutSuffix(strings.ToLower(name), ".svc."+zone)
	if !ok {
		return nil, false
	}
	labels := strings.Split(inside, ".")
	if len(labels) < 2 {
		return nil, false
	}
	front, service := labels[:len(labels)-2], labels[len(labels)-2]
	key := labels[len(labels)-1] + "/" + service
	switch {
	case len(front) == 0:
		return book.addresses(key)
	case len(front) == 1:
		return book.pod(key, front[0])
	case len(front) == 2 && strings.HasPrefix(front[0], "_"):
		return book.ports(key, front[0][1:], strings.TrimPrefix(front[1], "_"),
			service+"."+labels[len(labels)-1]+".svc."+zone)
	}
	return nil, false
}
