package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/handshake"
)

// ErrVerdictChanged is wrapped by the error of a run in which a remembered verdict, executed again,
// came out differently: the shape it was remembered under leaves out something that matters.
var ErrVerdictChanged = errors.New("a remembered handshake verdict did not repeat")

// forever is later than any horizon.
const forever = time.Duration(math.MaxInt64)

// Audit says how many remembered verdicts are executed again.
type Audit struct {
	Every int // every nth use of a memory; 0 never
	Max   int // at most so many in one run
}

// oracle tells how a load or a handshake ends. It executes each distinct shape once, with real
// certificates through the workload core, and remembers the verdict.
type oracle struct {
	start time.Time
	pool  keyPool
	audit Audit

	keys       materialPool
	loads      map[string]credential.Problem
	handshakes map[string]verdict
	sealings   map[string]record.Outcome
	uses       int // of remembered handshakes and sealings
	audited    int
	executed   int
	buffer     []byte
}

func newOracle(start time.Time, pool keyPool, keys materialPool, audit Audit) *oracle {
	return &oracle{
		start: start, pool: pool, keys: keys, audit: audit,
		loads: map[string]credential.Problem{}, handshakes: map[string]verdict{},
		sealings: map[string]record.Outcome{},
	}
}

// load tells whether the group's reader can build a context from the content: "" if so, otherwise
// the problem its reader found.
func (o *oracle) load(c *content, g *group) (credential.Problem, error) {
	shape := newShape(o.buffer[:0])
	shape.number(g.index)
	shape.content(c)
	o.buffer = shape.bytes
	if problem, ok := o.loads[string(shape.bytes)]; ok {
		return problem, nil
	}
	var problem credential.Problem
	var err error
	if c.ring != nil {
		_, problem, err = o.readRing(newRingMint(o.keys), c.ring, g)
	} else {
		_, problem, err = o.read(newMint(o.pool, o.start), c, g)
	}
	if err != nil {
		return "", err
	}
	o.loads[string(shape.bytes)] = problem
	return problem, nil
}

// read runs the workload's own reader on minted files.
func (o *oracle) read(
	m *mint, c *content, g *group,
) (*handshake.Context, credential.Problem, error) {
	files, err := m.files(c)
	if err != nil {
		return nil, "", err
	}
	volume := credential.NewVolume()
	volume.Project("minted", files)
	material, err := credential.Read(volume, g.read)
	if found, ok := errors.AsType[*credential.ReadError](err); ok {
		return nil, found.Problem, nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("read minted files: %w", err)
	}
	made, err := handshake.NewContext(material, g.tls)
	if err != nil {
		return nil, "", fmt.Errorf("build a TLS context: %w", err)
	}
	return made, "", nil
}

// handshake tells how a handshake from client to server ends at now.
func (o *oracle) handshake(
	ctx context.Context, client, server *class, now time.Duration,
) (verdict, error) {
	if client.broken != "" {
		return verdict{outcome: record.NoCredential, side: record.Client, until: forever}, nil
	}
	if server.broken != "" {
		return verdict{outcome: record.NoCredential, side: record.Server, until: forever}, nil
	}
	shape := newShape(o.buffer[:0])
	shape.number(client.group.index)
	shape.number(server.group.index)
	shape.content(client.content)
	shape.content(server.content)
	shape.validity(now+client.skew, now+server.skew)
	o.buffer = shape.bytes
	key := string(shape.bytes)
	until := shape.until(now, client.skew, server.skew)
	if known, ok := o.handshakes[key]; ok {
		known.until = until
		return known, o.recheck(ctx, known, o.execute, client, server, now)
	}
	found, err := o.execute(ctx, client, server, now)
	if err != nil {
		return verdict{}, err
	}
	found.until = until
	o.handshakes[key] = found
	return found, nil
}

// executed has real code judge an attempt of two classes.
type executed func(ctx context.Context, from, to *class, now time.Duration) (verdict, error)

// audits counts a use of what is remembered, and reports whether it is one to be executed again.
func (o *oracle) audits() bool {
	o.uses++
	if o.audit.Every == 0 || o.audited >= o.audit.Max || o.uses%o.audit.Every != 0 {
		return false
	}
	o.audited++
	return true
}

// recheck executes a sampled share of the remembered verdicts again, with the very certificates and
// the very time that the memory stands in for.
func (o *oracle) recheck(
	ctx context.Context, known verdict, execute executed, client, server *class,
	now time.Duration,
) error {
	if !o.audits() {
		return nil
	}
	again, err := execute(ctx, client, server, now)
	if err != nil {
		return err
	}
	if again.outcome != known.outcome || again.side != known.side {
		return fmt.Errorf("%w: %s to %s at %s was %s (%s), is %s (%s)", ErrVerdictChanged,
			client.own.Leaf, server.own.Leaf, now,
			known.outcome, known.side, again.outcome, again.side)
	}
	return nil
}

// execute mints both ends' certificates and has crypto/tls shake hands with them, through the same
// code that a pod runs. With resumption on it is the second connection that counts.
func (o *oracle) execute(
	ctx context.Context, client, server *class, now time.Duration,
) (verdict, error) {
	o.executed++
	m := newMint(o.pool, o.start)
	dialler, problem, err := o.read(m, client.content, client.group)
	if err == nil && problem != "" {
		err = fmt.Errorf("class %s loaded once but not again: %s", client.own.Leaf, problem)
	}
	if err != nil {
		return verdict{}, err
	}
	listener, problem, err := o.read(m, server.content, server.group)
	if err == nil && problem != "" {
		err = fmt.Errorf("class %s loaded once but not again: %s", server.own.Leaf, problem)
	}
	if err != nil {
		return verdict{}, err
	}
	times := 1
	if client.group.tls.Resumption && server.group.tls.Resumption {
		times = 2
	}
	var out verdict
	for range times {
		near, far := handshake.Do(ctx, dialler, listener, server.group.plan.ServerName,
			o.clock(now+client.skew), o.clock(now+server.skew))
		out.outcome, out.side = handshake.Join(near, far)
	}
	if err := ctx.Err(); err != nil {
		return verdict{}, err
	}
	return out, nil
}

// clock returns a process clock that stands still at the offset.
func (o *oracle) clock(offset time.Duration) func() time.Time {
	at := o.start.Add(offset)
	return func() time.Time { return at }
}

// shape is the canonical form of what a verdict depends on: keys and certificates are numbered by
// first appearance, so that generation 7 against 8 looks like 1 against 2.
type shape struct {
	bytes []byte
	certs []*cert
	keys  []*key

	ids      []string
	ringKeys []*ringKey
}

func newShape(buffer []byte) shape { return shape{bytes: buffer} }

func (s *shape) number(n int) { s.bytes = binary.AppendVarint(s.bytes, int64(n)) }

func (s *shape) content(c *content) {
	if c.ring != nil {
		s.ring(c.ring)
		return
	}
	s.certList(c.certs)
	s.key(c.key)
	s.certList(c.cas)
}

func (s *shape) certList(certs []*cert) {
	s.number(len(certs))
	for _, c := range certs {
		s.cert(c)
	}
}

// cert appends the certificate's number, and its nature at first appearance.
func (s *shape) cert(c *cert) {
	for i, known := range s.certs {
		if known == c {
			s.number(i)
			return
		}
	}
	s.number(len(s.certs))
	s.certs = append(s.certs, c)
	s.number(c.template.id)
	s.key(c.key)
	if c.root() {
		s.bytes = append(s.bytes, 'r')
		return
	}
	s.bytes = append(s.bytes, 'i')
	s.key(c.issuer.key)
	s.number(c.issuer.template.id)
}

func (s *shape) key(k *key) {
	for i, known := range s.keys {
		if known == k {
			s.number(i)
			return
		}
	}
	s.number(len(s.keys))
	s.keys = append(s.keys, k)
	s.bytes = append(s.bytes, k.algorithm...)
}

// validity appends how each certificate's validity stands to each end's clock.
func (s *shape) validity(clocks ...time.Duration) {
	for _, c := range s.certs {
		for _, clock := range clocks {
			switch {
			case clock < c.notBefore:
				s.bytes = append(s.bytes, '-')
			case clock > c.notAfter:
				s.bytes = append(s.bytes, '+')
			default:
				s.bytes = append(s.bytes, '0')
			}
		}
	}
}

// until returns the first instant after now at which validity would append something else.
func (s *shape) until(now time.Duration, skews ...time.Duration) time.Duration {
	first := forever
	for _, c := range s.certs {
		for _, skew := range skews {
			// X.509 validity is inclusive of notAfter itself (RFC 5280, 4.1.2.5).
			for _, change := range []time.Duration{c.notBefore - skew, c.notAfter - skew + 1} {
				if change > now && change < first {
					first = change
				}
			}
		}
	}
	return first
}
