package reports

import (
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// traffic is what the pods of a plan do to each other and with what, which decides how reports
// speak of it.
type traffic struct {
	connects bool // peers make new connections
	calls    bool // issuers call verifiers
	peers    bool // there are some, with certificates
	tokens   bool // there are some who issue or verify them, with keys
}

// newTraffic returns the traffic of the plan: that of its streams or, without any, what its
// workloads are made for.
func newTraffic(plan scenarios.Plan) traffic {
	workloads := make(map[string]string, len(plan.Pods))
	for _, pod := range plan.Pods {
		workloads[pod.Name] = pod.Workload
	}
	t := traffic{peers: len(plan.Peers) > 0, tokens: len(plan.Tokens) > 0}
	for _, stream := range plan.Streams {
		calls := plan.TokensOf(workloads[stream.Source]) != nil
		t.calls = t.calls || calls
		t.connects = t.connects || !calls
	}
	if len(plan.Streams) == 0 {
		t.calls, t.connects = t.tokens, t.peers || !t.tokens
	}
	return t
}

// either returns the word that fits the traffic: one for connections, one for calls, one for both.
func (t traffic) either(connects, calls, both string) string {
	return choose(t.connects, t.calls, connects, calls, both)
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
	return choose(t.peers, t.tokens, "CA", "key", "CA or key")
}

// shown is the noun for what is shown to the other end.
func (t traffic) shown() string {
	return t.either("a certificate", "a token", "a certificate or token")
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
