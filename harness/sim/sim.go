// Package sim is the simulator: a backend in virtual time that needs no cluster.
//
// Use New and hand the Backend to harness.Run. What it models is the API server, cert-manager,
// kubelets, the network and latency; what is real is crypto/tls and the workload core, which judge
// every distinct handshake and read every distinct file layout through the code that pods run. The
// same plan gives the same record, byte for byte: nothing here reads a clock, ranges over a map on
// the way to the record, or draws dice but from the plan's named streams.
package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// Name is the backend's name on the command line and in records.
const Name = "sim"

// Backend simulates plans. It keeps the real keys that it has made for the next run, so it must
// not be used by two runs at once.
type Backend struct {
	audit Audit
	pool  keyPool
	keys  materialPool
}

// Option changes how a Backend works.
type Option func(*Backend)

// WithAudit sets which share of remembered verdicts is executed again; the default is every 251st,
// at most 16 in one run.
func WithAudit(audit Audit) Option { return func(b *Backend) { b.audit = audit } }

// New returns a simulator.
func New(options ...Option) *Backend {
	b := &Backend{
		audit: Audit{Every: 251, Max: 16}, pool: keyPool{}, keys: materialPool{},
	}
	for _, apply := range options {
		apply(b)
	}
	return b
}

// Name returns the backend's name.
func (b *Backend) Name() string { return Name }

// Basis returns record.Modelled: latencies come from a model.
func (b *Backend) Basis() record.Basis { return record.Modelled }

// Check implements harness.Backend. Everything the language can say can be simulated, so its errors
// are about Certificates that cert-manager would not issue.
func (b *Backend) Check(plan scenarios.Plan) error {
	var problems []error
	w := &world{plan: plan}
	w.api = &apiServer{world: w, secrets: map[string]*secret{}}
	if _, err := newCertManager(w, plan.World); err != nil {
		problems = append(problems, fmt.Errorf("%w: %w", harness.ErrUnsupported, err))
	}
	for _, i := range plan.World.Issuers {
		if i.Spec.CA == nil {
			continue
		}
		if name := i.Namespace + "/" + i.Spec.CA.SecretName; w.api.secrets[name].owner == nil {
			problems = append(problems, fmt.Errorf("%w: issuer %s: no Certificate makes Secret %s",
				harness.ErrUnsupported, i.Name, name))
		}
	}
	if plan.Start.Nanosecond() != 0 {
		problems = append(problems, fmt.Errorf("%w: start %s is not on a whole second",
			harness.ErrUnsupported, plan.Start.Format(time.RFC3339Nano)))
	}
	if _, err := newOperator(w, plan.World.RotatingSecrets); err != nil {
		problems = append(problems, fmt.Errorf("%w: %w", harness.ErrUnsupported, err))
	}
	for _, c := range ringConsumers(&plan) {
		if s := w.api.secrets[c.Secret]; s == nil || s.rotated == nil {
			problems = append(problems, fmt.Errorf(
				"%w: workload %s: no RotatingSecret makes Secret %s",
				harness.ErrUnsupported, c.Workload, c.Secret))
		}
	}
	for _, g := range plan.Peers {
		if s := w.api.secrets[g.Secret]; s == nil || s.owner == nil {
			problems = append(problems, fmt.Errorf(
				"%w: workload %s: no Certificate makes Secret %s",
				harness.ErrUnsupported, g.Workload, g.Secret))
		}
	}
	return errors.Join(problems...)
}

// ringConsumers returns those that mount key rings.
func ringConsumers(plan *scenarios.Plan) []scenarios.Consumer {
	var all []scenarios.Consumer
	for i := range plan.Tokens {
		if plan.Tokens[i].JWKS == nil {
			all = append(all, plan.Tokens[i].Consumer)
		}
	}
	for i := range plan.Stores {
		all = append(all, plan.Stores[i].Consumer)
	}
	return all
}

// Open implements harness.Backend: it builds the world as it stands at offset 0, with every
// Certificate issued and every pod up.
func (b *Backend) Open(
	_ context.Context, plan scenarios.Plan, sink record.Sink,
) (harness.World, error) {
	w := &world{
		plan: plan, sink: sink,
		oracle:  newOracle(plan.Start, b.pool, b.keys, b.audit),
		classes: classes{live: map[classKey]*class{}},
		nodes:   map[string]*node{},
		byName:  map[string]*pod{},
		faults:  map[int]*faultQueue{},
	}
	w.api = &apiServer{world: w, secrets: map[string]*secret{}}
	w.traffic = &traffic{world: w, latency: newLatencyModel()}
	//nolint:contextcheck // a handshake in memory takes milliseconds; Sleep looks between events
	if err := w.begin(); err != nil {
		return nil, err
	}
	return w, nil
}

// cancelEvery is after how many events Sleep looks whether it was cancelled.
const cancelEvery = 1024

// world is one simulated cluster. It implements harness.World.
type world struct {
	clock
	plan     scenarios.Plan
	sink     record.Sink
	api      *apiServer
	manager  *certManager
	operator *operator
	nodes    map[string]*node
	pods     []*pod
	byName   map[string]*pod
	classes  classes
	oracle   *oracle
	traffic  *traffic
	faults   map[int]*faultQueue
	open     bool // set up: from now on changes matter to traffic
}

// wall returns the virtual wall-clock time of an offset.
func (w *world) wall(offset time.Duration) time.Time { return w.plan.Start.Add(offset) }

// emit records a row.
func (w *world) emit(row record.Span) error { return w.sink.Write(row) }

// Sleep implements harness.World: it is the event loop.
func (w *world) Sleep(ctx context.Context, until time.Duration) error {
	for n := 0; ; n++ {
		if n%cancelEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		more, err := w.step(until)
		if err != nil {
			return fmt.Errorf("at %s: %w", w.now, err)
		}
		if !more {
			w.now = max(w.now, until)
			return nil
		}
	}
}

// Close implements harness.World: it records everything still open up to the offset reached.
func (w *world) Close(context.Context) error {
	if err := w.traffic.end(); err != nil {
		return err
	}
	for _, p := range w.pods {
		if p.store != nil {
			if err := p.store.end(); err != nil {
				return err
			}
		}
		if err := p.noteUnread(); err != nil {
			return err
		}
		if p.fetches() && p.up {
			p.catchUpFetches()
			if err := p.tellFetches(); err != nil {
				return err
			}
		}
		if p.up {
			continue
		}
		row := record.Span{
			Kind: record.Down, Source: p.plan.Name, From: p.since, To: w.now, Detail: p.why,
			Action: p.restart,
		}
		if err := w.emit(row); err != nil {
			return err
		}
	}
	return nil
}

// verdict returns how handshakes between pods of two classes end now, and has every pair looked at
// again when the answer may change with time alone.
func (w *world) verdict(from, to *class) (verdict, error) {
	if v, ok := from.peers[to]; ok && w.now < v.until {
		return v, nil
	}
	judge := w.oracle.handshake
	if from.group.tokens != nil {
		judge = w.oracle.request
	}
	v, err := judge(context.Background(), from, to, w.now)
	if err != nil {
		return verdict{}, fmt.Errorf("judge an attempt: %w", err)
	}
	v = v.over(between(from.trouble, to.trouble), from)
	from.peers[to] = v
	if v.until <= w.plan.Horizon {
		w.at(v.until, func() error {
			if !from.alive() || !to.alive() {
				return nil
			}
			return w.traffic.revalidate(from, to)
		})
	}
	return v, nil
}
