package reports

import (
	"strings"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// traffic is what the pods of a plan do to each other and with what, which decides how reports
// speak of it.
type traffic struct {
	connects bool // peers make new connections
	calls    bool // issuers call verifiers
	accesses bool // stores read and write their records
	peers    bool // there are some, with certificates
	tokens   bool // there are some who issue or verify them, with keys
	stores   bool // there are some of data at rest, with keys
}

// newTraffic returns the traffic of the plan: that of its streams or, without any, what its
// workloads are made for.
func newTraffic(plan scenarios.Plan) traffic {
	workloads := make(map[string]string, len(plan.Pods))
	for _, pod := range plan.Pods {
		workloads[pod.Name] = pod.Workload
	}
	t := traffic{
		peers: len(plan.Peers) > 0, tokens: len(plan.Tokens) > 0, stores: len(plan.Stores) > 0,
	}
	for _, stream := range plan.Streams {
		calls := plan.TokensOf(workloads[stream.Source]) != nil
		accesses := stream.Op != scenarios.Calls
		t.calls = t.calls || calls
		t.accesses = t.accesses || accesses
		t.connects = t.connects || !calls && !accesses
	}
	if len(plan.Streams) == 0 {
		t.calls, t.accesses = t.tokens, t.stores
		t.connects = t.peers || !t.tokens && !t.stores
	}
	return t
}

// keys reports whether there are workloads that have keys with ids.
func (t traffic) keys() bool { return t.tokens || t.stores }

// either returns the word that fits the traffic: one for connections, one for calls, one for more
// than one kind and for reads and writes.
func (t traffic) either(connects, calls, both string) string {
	if t.accesses {
		return both
	}
	return choose(t.connects, t.calls, connects, calls, both)
}

// each joins what is said of each kind of attempts that there are.
func (t traffic) each(connects, calls, accesses string) string {
	var said []string
	for _, kind := range []struct {
		is   bool
		says string
	}{{t.connects, connects}, {t.calls, calls}, {t.accesses, accesses}} {
		if kind.is {
			said = append(said, kind.says)
		}
	}
	return strings.Join(said, " or ")
}

// pair is the noun for who is broken when attempts fail.
func (t traffic) pair() string {
	if t.accesses && !t.connects && !t.calls {
		return "pod"
	}
	return "ordered pair"
}

// choose returns what is for both of two kinds, or for the only one; the first is the default.
func choose[T any](first, second bool, one, other, both T) T {
	switch {
	case first && second:
		return both
	case second:
		return other
	}
	return one
}

// attempt is the noun for one attempt.
func (t traffic) attempt() string { return t.either("new connection", "call", "attempt") }

// trusted is the noun for what is trusted.
func (t traffic) trusted() string {
	return choose(t.peers, t.keys(), "CA", "key", "CA or key")
}

// shown is the noun for what is shown to the other end.
func (t traffic) shown() string {
	return choose(t.connects, t.calls, "a certificate", "a token", "a certificate or token")
}

// ofTokens reports whether only an attempt with a token can end so.
func ofTokens(outcome record.Outcome) bool {
	switch outcome {
	case record.NoPrimary, record.NoKeys, record.UnknownKid, record.TokenExpired,
		record.TokenNotYetValid, record.TokenRefused:
		return true
	case record.OK, record.Skipped, record.UnknownAuthority, record.Expired, record.NotYetValid,
		record.NameMismatch, record.WrongUsage, record.CertificateRequired, record.BadSignature,
		record.NoCredential, record.NoSharedParameters, record.BadCertificate, record.Unreachable,
		record.Timeout, record.Canceled, record.Other:
		return false
	}
	return false
}
