package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/request"
	"github.com/certquake/certquake/workloads/token"
)

// newTokenGroup translates the settings of a workload of tokens.
func newTokenGroup(index int, planned *scenarios.TokenGroup) *group {
	g := newGroup(index, scenarios.PeerGroup{Consumer: planned.Consumer})
	g.tokens = planned
	return g
}

// issues reports whether the group's pods sign tokens.
func (g *group) issues() bool { return g.tokens != nil && g.tokens.Role == scenarios.Issues }

// heldToken is what an issuer calls with: signed at base and anew every Reuse from there, each time
// with the key that was primary then. The zero value is none.
type heldToken struct {
	key  *ringKey
	kid  string
	base time.Duration
}

// signedAt returns when the token that is held at now was signed.
func (h heldToken) signedAt(now, reuse time.Duration) time.Duration {
	return now - (now-h.base)%reuse
}

// firstSigned returns when the pod signed the token that it holds first: now, as it starts, but a
// while ago at offset 0.
func (p *pod) firstSigned() time.Duration {
	if w := p.node.world; w.open {
		return w.now
	}
	return -p.plan.TokenAge
}

// sign has the pod hold a token of the ring's primary, if there is one.
func (p *pod) sign(c *content, base time.Duration) {
	key, kid := c.ring.signer()
	p.token = heldToken{}
	if key != nil {
		p.token = heldToken{key, kid, base}
	}
}

// scheduleSigning has the pod sign with another key when it next signs, if its ring has another
// primary than the token it holds.
func (p *pod) scheduleSigning() {
	p.signSeq++
	if key, _ := p.class.content.ring.signer(); p.class.broken == "" && key == p.token.key {
		return
	}
	w := p.node.world
	reuse := p.group.tokens.Reuse
	at := p.token.signedAt(w.now, reuse)
	if at < w.now {
		at += reuse
	}
	seq := p.signSeq
	w.at(at, func() error {
		if p.signSeq != seq || !p.up {
			return nil
		}
		base := p.token.base
		p.token = heldToken{}
		if p.class.broken == "" {
			p.sign(p.class.content, base)
		}
		return p.become(p.key(p.class.content, p.class.broken))
	})
}

// standing tells how the caller's token stands to the verifier's clock at now, and until when: '-'
// it is not yet valid, '+' it is expired, else '0'. Dates in tokens are whole seconds, rounded
// down.
func standing(caller, verifier *class, now time.Duration) (how byte, until time.Duration) {
	reuse, ttl := caller.group.tokens.Reuse, caller.group.tokens.TTL
	leeway := verifier.group.tokens.Leeway
	signed := caller.token.signedAt(now, reuse)
	begins := floorSecond(signed+caller.skew) - leeway - verifier.skew
	ends := floorSecond(signed+caller.skew+ttl) + leeway - verifier.skew
	how = '0'
	switch {
	case now >= ends:
		how = '+'
	case now < begins:
		how = '-'
	}
	ahead := verifier.skew - caller.skew
	if ahead+leeway >= 0 && reuse+ahead+time.Second <= ttl+leeway {
		return how, forever // each token is valid for as long as it is called with
	}
	until = signed + reuse
	for _, change := range []time.Duration{begins, ends} {
		if change > now {
			until = min(until, change)
		}
	}
	return how, until
}

// floorSecond rounds an offset down to the whole second that it is in.
func floorSecond(d time.Duration) time.Duration {
	whole := d.Truncate(time.Second)
	if whole > d {
		whole -= time.Second
	}
	return whole
}

// request tells how a call from an issuer to a verifier ends at now.
func (o *oracle) request(
	ctx context.Context, caller, verifier *class, now time.Duration,
) (verdict, error) {
	if caller.token.key == nil {
		return verdict{outcome: record.NoPrimary, side: record.Client, until: forever}, nil
	}
	if verifier.broken != "" {
		return verdict{outcome: record.NoKeys, side: record.Server, until: forever}, nil
	}
	how, until := standing(caller, verifier, now)
	shape := newShape(o.buffer[:0])
	shape.number(caller.group.index)
	shape.number(verifier.group.index)
	shape.id(caller.token.kid)
	shape.ringKey(caller.token.key)
	shape.ring(verifier.content.ring)
	shape.bytes = append(shape.bytes, how)
	o.buffer = shape.bytes
	key := string(shape.bytes)
	if known, ok := o.handshakes[key]; ok {
		known.until = until
		return known, o.recheck(ctx, known, o.call, caller, verifier, now)
	}
	found, err := o.call(ctx, caller, verifier, now)
	if err != nil {
		return verdict{}, err
	}
	found.until = until
	o.handshakes[key] = found
	return found, nil
}

// call mints both ends' keys and has the workload core sign a token and verify it.
func (o *oracle) call(
	ctx context.Context, caller, verifier *class, now time.Duration,
) (verdict, error) {
	o.executed++
	mint := newRingMint(o.keys)
	held := caller.token
	near, _, err := o.readRing(mint, newRing(keyFiles(held.kid, held.key, true)), caller.group)
	if err != nil {
		return verdict{}, err
	}
	keys, err := o.verifying(mint, verifier)
	if err != nil {
		return verdict{}, err
	}
	signer, err := token.NewSigner(harness.TokenSettings(caller.group.tokens),
		func() (*keyring.Ring, error) { return near, nil })
	if err != nil {
		return verdict{}, fmt.Errorf("make a signer: %w", err)
	}
	judge, err := token.NewVerifier(harness.TokenSettings(verifier.group.tokens), keys)
	if err != nil {
		return verdict{}, fmt.Errorf("make a verifier: %w", err)
	}
	signed := held.signedAt(now, caller.group.tokens.Reuse)
	made, _, err := signer.Sign(o.start.Add(signed+caller.skew), jwt.Claims{})
	if err == nil {
		_, _, err = judge.Verify(ctx, o.start.Add(now+verifier.skew), made)
	}
	var v verdict
	v.outcome, v.side = request.Judge(err)
	return v, nil
}

// verifying returns the keys that a verifier has: of its own ring, or of the JWKS of another's.
func (o *oracle) verifying(mint *ringMint, c *class) (token.Keys, error) {
	reader := c.group
	if c.group.from != nil {
		reader = c.group.from
	}
	held, problem, err := o.readRing(mint, c.content.ring, reader)
	if err == nil && problem != "" {
		err = fmt.Errorf("class %s loaded once but not again: %s", c.own.Trust, problem)
	}
	if err != nil {
		return nil, err
	}
	a := token.Algorithm(c.group.tokens.Algorithm)
	if c.group.from == nil {
		return token.NewRingKeys(a, func() (*keyring.Ring, error) { return held, nil }), nil
	}
	published, err := token.SetOf(held, a)
	if err != nil {
		return nil, fmt.Errorf("publish keys: %w", err)
	}
	document, err := published.JWKS()
	if err != nil {
		return nil, fmt.Errorf("publish keys: %w", err)
	}
	fetched, err := token.ParseSet(document, a)
	if err != nil {
		return nil, fmt.Errorf("read published keys: %w", err)
	}
	return constant{fetched}, nil
}

// constant is keys that were fetched already: when to fetch others is the pod's to decide.
type constant struct{ set *token.Set }

func (c constant) Set(context.Context, time.Time, string) (*token.Set, error) { return c.set, nil }

// readRing runs the workload's own reader on minted files.
func (o *oracle) readRing(
	m *ringMint, r *ring, g *group,
) (*keyring.Ring, credential.Problem, error) {
	files, err := m.files(r)
	if err != nil {
		return nil, "", err
	}
	volume := credential.NewVolume()
	volume.Project("minted", files)
	held, err := keyring.Read(volume, g.ringSettings())
	if found, ok := errors.AsType[*keyring.ReadError](err); ok {
		return nil, credential.Problem(found.Problem), nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("read minted keys: %w", err)
	}
	return held, "", nil
}

// The CPU time of both ends for one call, as measured for package token on one shared 2-core
// virtual machine: a signature is shared by many calls.
func verifyTime(a string) time.Duration {
	switch token.Algorithm(a) {
	case token.HS256:
		return 15 * time.Microsecond
	case token.RS256:
		return 60 * time.Microsecond
	case token.ES256:
		return 110 * time.Microsecond
	case token.EdDSA:
		return 90 * time.Microsecond
	}
	return 100 * time.Microsecond
}

// callTrips is how many round trips a call takes: one to connect, one for the request.
const callTrips = 2
