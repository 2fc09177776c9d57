package token

import (
	"fmt"
	"time"
)

// PolicyKind says what makes a verifier fetch its JWKS again.
type PolicyKind string

// The kinds of policies.
const (
	// MaxAge fetches on demand when the set is a MaxAge old. An unknown kid fetches nothing: it is
	// refused until then. Envoy's remote_jwks does this.
	MaxAge PolicyKind = "max-age"
	// RefetchOnUnknown fetches whenever a token's kid is unknown, as OpenID Connect Core 10.1.1
	// wants. Anyone who makes up kids makes a verifier fetch, once per token. coreos/go-oidc does
	// this, and without a MaxAge: a key that was removed goes on verifying until something unknown
	// comes by.
	RefetchOnUnknown PolicyKind = "refetch-on-unknown"
	// RefetchWithCooldown does so, but not within a Cooldown of the last good fetch. A new key that
	// signs sooner is refused for the rest of it. panva/jose and SmallRye do this.
	RefetchWithCooldown PolicyKind = "refetch-with-cooldown"
	// Background fetches at an Interval, tokens or not. An unknown kid fetches nothing. The
	// jwk.Cache of lestrrat-go/jwx does this.
	Background PolicyKind = "background"
)

// Policy decides when to fetch a JWKS. Its methods are pure.
type Policy struct {
	Kind PolicyKind `json:"kind"`
	// MaxAge is how old the set may get before a demand fetches. 0 is any age, where the kind is
	// not MaxAge.
	MaxAge time.Duration `json:"max_age_ns,omitempty"`
	// Cooldown is for RefetchWithCooldown, Interval for Background. Both count from when a fetch
	// began.
	Cooldown time.Duration `json:"cooldown_ns,omitempty"`
	Interval time.Duration `json:"interval_ns,omitempty"`
	// Retry is how long a failed fetch keeps others from beginning. At 0 each demand that wants a
	// fetch makes one; Background alone waits an Interval unless it has no set yet.
	Retry time.Duration `json:"retry_ns,omitempty"`
	// DropStale refuses all tokens once the set is a MaxAge old and cannot be fetched again, as
	// Envoy and panva/jose do. Otherwise the last good set stays in use for ever.
	DropStale bool `json:"drop_stale,omitempty"`
}

// Real verifiers by their defaults, for scenarios and comparisons. None reproduces what its model
// makes of the response's Cache-Control (lestrrat-go/jwx and SmallRye obey it), nor go-oidc's fetch
// when the signature of a known kid is wrong.

// GoOIDC returns the policy of the RemoteKeySet of coreos/go-oidc v3.
func GoOIDC() Policy { return Policy{Kind: RefetchOnUnknown} }

// PanvaJose returns the policy of createRemoteJWKSet of panva/jose.
func PanvaJose() Policy {
	return Policy{
		Kind: RefetchWithCooldown, MaxAge: 10 * time.Minute, Cooldown: 30 * time.Second,
		DropStale: true,
	}
}

// SmallRye returns the policy of SmallRye JWT, which Quarkus has.
func SmallRye() Policy {
	return Policy{Kind: RefetchWithCooldown, MaxAge: time.Hour, Cooldown: 30 * time.Minute}
}

// Envoy returns the policy of the jwt_authn filter's remote_jwks. Its source says five minutes and
// 600 seconds; it is the seconds that count.
func Envoy() Policy { return Policy{Kind: MaxAge, MaxAge: 10 * time.Minute, DropStale: true} }

// LestrratJWX returns the policy of the jwk.Cache of lestrrat-go/jwx v2.
func LestrratJWX() Policy { return Policy{Kind: Background, Interval: time.Hour} }

// Check returns an error if the policy lacks a duration that its kind needs, or has one that its
// kind does not heed.
func (p Policy) Check() error {
	for _, d := range []struct {
		name         string
		set          time.Duration
		wants, heeds bool
	}{
		{"max age", p.MaxAge, p.Kind == MaxAge || p.DropStale, p.Kind != Background},
		{"cooldown", p.Cooldown, p.Kind == RefetchWithCooldown, p.Kind == RefetchWithCooldown},
		{"interval", p.Interval, p.Kind == Background, p.Kind == Background},
		{"retry", p.Retry, false, true},
	} {
		switch {
		case !p.Kind.known():
			return fmt.Errorf("policy %q: want %s, %s, %s or %s",
				p.Kind, MaxAge, RefetchOnUnknown, RefetchWithCooldown, Background)
		case d.set < 0 || d.set == 0 && d.wants:
			return fmt.Errorf("policy %s: %s %v: want more", p.Kind, d.name, d.set)
		case d.set > 0 && !d.heeds:
			return fmt.Errorf("policy %s: %s %v: it has none", p.Kind, d.name, d.set)
		}
	}
	return nil
}

func (k PolicyKind) known() bool {
	return k == MaxAge || k == RefetchOnUnknown || k == RefetchWithCooldown || k == Background
}

// LagMax returns how long after a JWKS got a key a verifier may still refuse its tokens, as long as
// fetches succeed and take no time. An issuer that publishes a key for so long before it signs with
// it is never refused.
func (p Policy) LagMax() time.Duration {
	switch p.Kind {
	case MaxAge:
		return p.MaxAge
	case Background:
		return p.Interval
	case RefetchOnUnknown, RefetchWithCooldown:
		if p.MaxAge > 0 {
			return min(p.MaxAge, p.Cooldown)
		}
		return p.Cooldown
	}
	return 0
}

// State is what a policy remembers of the fetches so far.
type State struct {
	Last   time.Time // when the last fetch began
	Good   time.Time // when the last fetch began that did not fail
	Failed bool      // the last one did
	// Fetches and Failures count the fetches and those of them that failed.
	Fetches, Failures int
}

// Has reports whether any fetch succeeded, so that there is a set.
func (s State) Has() bool { return s.Fetches > s.Failures }

// After returns the state after a fetch that began at the instant now.
func (s State) After(now time.Time, err error) State {
	s.Last, s.Failed = now, err != nil
	s.Fetches++
	if err != nil {
		s.Failures++
	} else {
		s.Good = now
	}
	return s
}

// Demand is who asks whether to fetch.
type Demand string

// The demands.
const (
	NoDemand      Demand = "none"    // time alone
	DemandKnown   Demand = "known"   // a token whose kid is in the set
	DemandUnknown Demand = "unknown" // a token whose kid is not, or there is no set
)

// Due reports whether a demand at the instant now fetches.
func (p Policy) Due(s State, now time.Time, d Demand) bool {
	at, ok := p.Next(s, d)
	return ok && !now.Before(at)
}

// Next returns the earliest instant at which such a demand makes Due true, if nothing is fetched
// before: the zero time if there was no fetch yet. It reports false if none ever does.
//
// Of NoDemand, which a runtime or a simulator wakes up for, it is after the last fetch in any case.
func (p Policy) Next(s State, d Demand) (at time.Time, ok bool) {
	switch {
	case d == NoDemand:
		return p.tick(s)
	case s.Fetches == 0:
		return time.Time{}, true
	case !s.Has():
		return s.Last.Add(p.Retry), true
	}
	if p.MaxAge > 0 {
		at, ok = s.Good.Add(p.MaxAge), true
	}
	if d == DemandUnknown && (p.Kind == RefetchOnUnknown || p.Kind == RefetchWithCooldown) {
		if cool := s.Good.Add(p.Cooldown); !ok || cool.Before(at) {
			at, ok = cool, true
		}
	}
	if retry := s.Last.Add(p.Retry); ok && s.Failed && at.Before(retry) {
		at = retry
	}
	return at, ok
}

// tick is Next without a demand.
func (p Policy) tick(s State) (at time.Time, ok bool) {
	switch {
	case p.Kind != Background:
		return time.Time{}, false
	case s.Fetches == 0:
		return time.Time{}, true
	case s.Failed && p.Retry > 0:
		return s.Last.Add(p.Retry), true
	}
	return s.Last.Add(p.Interval), true
}

// Usable reports whether there is a set that may verify at the instant now.
func (p Policy) Usable(s State, now time.Time) bool {
	return s.Has() && (!p.DropStale || now.Before(s.Good.Add(p.MaxAge)))
}
