package sim

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	rotator "github.com/certquake/certquake/clusters/rotator/api"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/rotation"
)

// The pace of the operator.
const (
	// reconcileTime is about what it takes from a change to the write that follows from it.
	reconcileTime = 50 * time.Millisecond
	// consumersPoll is how often consumers are asked during a rotation (package rotator, Poll).
	consumersPoll = 15 * time.Second
)

// operator rotates the keys of RotatingSecrets: the driver of package rotation in virtual time.
type operator struct {
	world   *world
	secrets []*rotated
	byName  map[string]*rotated // by Secret
	keys    int                 // made so far
	down    bool
}

// rotated is one RotatingSecret.
type rotated struct {
	operator *operator
	secret   *secret
	spec     rotation.Spec
	selector labels.Selector // of consumers; nil when none are asked
	random   io.Reader       // for ids

	state   *rotation.State // beside the keys; nil once they are gone
	managed bool
	orders  rotation.Orders
	timer   int // invalidates scheduled decisions

	move     *move                      // of data to another key, while it is asked for
	before   *content                   // what people edited last
	byHand   int64                      // the highest count of the ids that they made
	provings map[rotation.Action]string // actions that a step of the operator will prove
}

func newOperator(w *world, rotating []rotator.RotatingSecret) (*operator, error) {
	o := &operator{world: w, byName: map[string]*rotated{}}
	for i := range rotating {
		spec, problems := rotating[i].Spec.Rotation()
		problems = append(problems, spec.Validate()...)
		if len(problems) > 0 {
			return nil, fmt.Errorf("RotatingSecret %s: %s", rotating[i].Name, problems[0])
		}
		name := scenarios.RotatedBy(&rotating[i])
		r := &rotated{
			operator: o, secret: w.api.secret(name), spec: spec,
			random:   newIDs(w.plan.Seed, name),
			provings: map[rotation.Action]string{},
		}
		if consumers := rotating[i].Spec.Consumers; consumers != nil {
			selector, err := metav1.LabelSelectorAsSelector(&consumers.Selector)
			if err != nil {
				return nil, fmt.Errorf("RotatingSecret %s: consumers: %w", rotating[i].Name, err)
			}
			r.selector = selector
		}
		r.secret.rotated = r
		o.secrets = append(o.secrets, r)
		o.byName[name] = r
	}
	return o, nil
}

// newIDs returns what ids are drawn from.
func newIDs(seed uint64, secret string) io.Reader {
	dice := scenarios.Rand(seed, "operator/"+secret+"/ids")
	var key [32]byte
	for i := 0; i < len(key); i += 8 {
		binary.LittleEndian.PutUint64(key[i:], dice.Uint64())
	}
	return rand.NewChaCha8(key)
}

// begin makes the first keys, as they stand at offset 0.
func (o *operator) begin() error {
	for _, r := range o.secrets {
		if err := r.reconcile(); err != nil {
			return err
		}
	}
	return nil
}

// goOn looks at every RotatingSecret, unless something keeps the operator from it.
func (o *operator) goOn() {
	for _, r := range o.secrets {
		r.schedule(o.world.now + reconcileTime)
	}
}

// switchOperator kills the operator or starts it again.
func (w *world) switchOperator(action scenarios.Action) error {
	w.operator.down = action.Verb == scenarios.StopOperator
	if w.operator.down {
		return w.prove(action.ID, "operator", "no operator runs")
	}
	w.operator.goOn()
	return w.prove(action.ID, "operator", "an operator runs")
}

// schedule has the operator decide at the offset, in place of anything scheduled before.
func (r *rotated) schedule(at time.Duration) {
	r.timer++
	timer := r.timer
	w := r.operator.world
	if at > w.plan.Horizon {
		return
	}
	w.at(at, func() error {
		if r.timer != timer {
			return nil
		}
		return r.reconcile()
	})
}

// reconcile decides what to do now and does at most one step, as the operator does.
func (r *rotated) reconcile() error {
	w := r.operator.world
	if r.operator.down || w.api.down {
		return nil // its return looks again
	}
	decision := rotation.Decide(r.input())
	if err := r.steer(decision); err != nil {
		return err
	}
	if decision.Write {
		if err := r.write(decision); err != nil {
			return err
		}
	}
	if decision.Write && len(decision.Problems) == 0 {
		if !w.open {
			return r.reconcile()
		}
		r.schedule(w.now + reconcileTime)
		return nil
	}
	if !decision.Until.IsZero() {
		r.schedule(max(decision.Until.Sub(w.plan.Start), w.now+1))
	}
	if len(decision.Late) > 0 {
		at := w.now + consumersPoll
		if until := decision.Until.Sub(w.plan.Start); !decision.Until.IsZero() {
			at = min(at, max(until, w.now+1))
		}
		r.schedule(at)
	}
	return nil
}

// input is everything that is decided on.
func (r *rotated) input() rotation.Input {
	in := rotation.Input{
		Spec: r.spec, State: r.state, Managed: r.managed, Orders: r.orders,
		Now: r.operator.world.wall(r.operator.world.now),
	}
	if held := r.secret.content; held != nil {
		in.Names = held.ring.names()
	} else {
		in.State = nil // it was beside the keys
	}
	if r.selector != nil {
		in.Uptake = r.uptake(in.Now)
	}
	if r.move != nil {
		in.Migration = r.move.Migration
	}
	return in
}

// uptake asks the consumers which keys they have. One that is down is silent, one that is deleted
// is none.
func (r *rotated) uptake(now time.Time) []rotation.Report {
	var reports []rotation.Report
	for _, p := range r.operator.world.pods {
		asked := labels.Set{
			scenarios.PodWorkload: p.plan.Workload, scenarios.PodName: p.plan.Name,
		}
		if p.gone || !r.selector.Matches(asked) {
			continue
		}
		report := rotation.Report{Consumer: p.plan.Name}
		if p.up && p.class.broken == "" && p.class.content.secret == r.secret.name {
			held := p.class.content.ring
			report.Seen = now
			report.Ring = rotation.Ring{IDs: held.ids, Primary: strings.Join(held.primary, "")}
		}
		reports = append(reports, report)
	}
	return reports
}

// write does a step: the keys and the state in one write.
func (r *rotated) write(d rotation.Decision) error {
	w := r.operator.world
	if len(d.Problems) > 0 {
		if r.secret.content != nil {
			r.state = &d.Next // nothing but that it has halted
		}
		return nil
	}
	files, known := map[string][]byte{}, map[string]keyFile{}
	if held := r.secret.content; held != nil {
		for _, f := range held.ring.files {
			files[f.name] = []byte(f.name)
			known[f.name] = f
		}
	}
	var made *ringKey
	next, err := rotation.Apply(d, files, rotation.Source{
		Random: r.random,
		Keys: func(kind rotation.Key, _ io.Reader) (rotation.Material, error) {
			made = r.operator.newKey(kind)
			material := rotation.Material{}
			for _, part := range partsOf(kind.Kind) {
				material[part] = nil
			}
			return material, nil
		},
	})
	if err != nil {
		return fmt.Errorf("rotate %s: %w", r.secret.name, err)
	}
	r.state, r.managed = &next.State, true
	switch d.Action {
	case rotation.Wait, rotation.Halt, rotation.Abandon, rotation.Migrate:
		return nil // of the state alone
	case rotation.Create, rotation.Publish, rotation.Promote, rotation.Rollback, rotation.Retire:
	}
	if err := r.put(r.filesOf(next.Files, known, made)); err != nil {
		return err
	}
	action := r.provings[d.Action]
	delete(r.provings, d.Action)
	if action == "" {
		return nil
	}
	return w.prove(action, r.secret.name, "the Secret holds "+r.secret.content.ring.String())
}

// filesOf turns the files of a step back into symbols. What a file held before is its old name,
// and what is new is of the key made.
func (r *rotated) filesOf(
	files map[string][]byte, known map[string]keyFile, made *ringKey,
) []keyFile {
	var out []keyFile
	for name, data := range files {
		if old, ok := known[string(data)]; ok && data != nil {
			old.name = name
			out = append(out, old)
			continue
		}
		stem := strings.TrimSuffix(name, primaryMark)
		part := rotation.Part(stem[strings.LastIndexByte(stem, '.')+1:])
		out = append(out, keyFile{name, part, made})
	}
	return out
}

// put writes files into the Secret.
func (r *rotated) put(files []keyFile) error {
	written := &content{ring: newRing(files)}
	return r.operator.world.api.put(r.secret, written)
}

func (o *operator) newKey(kind rotation.Key) *ringKey {
	o.keys++
	return &ringKey{number: o.keys, kind: kind}
}

// order has the operator rotate, or take a key back, and proves it when it does.
func (w *world) order(action scenarios.Action) error {
	for _, name := range action.Secrets {
		r := w.operator.byName[name]
		if action.Verb == scenarios.RotateKeys {
			r.orders.Rotate = action.ID
			r.provings[rotation.Publish] = action.ID
		} else if r.state != nil {
			r.orders.Reject = r.state.Primary
			r.provings[rotation.Rollback] = action.ID
		}
		if !w.operator.down {
			r.schedule(w.now + reconcileTime)
		}
	}
	return nil
}

// editKeys writes Secrets behind the operator's back.
func (w *world) editKeys(action scenarios.Action) error {
	for _, name := range action.Secrets {
		r := w.operator.byName[name]
		held := r.secret.content
		var files []keyFile
		switch {
		case held == nil, action.Verb == scenarios.MendKeys && r.before == nil:
			continue // nothing to do, so nothing is proved
		case action.Verb == scenarios.MendKeys:
			files = r.before.ring.files
		case action.Verb == scenarios.ReplaceKeys:
			files = keyFiles(r.nextID(), r.operator.newKey(r.spec.Generate), true)
		default:
			files = r.spoiled(held.ring, action.Mode)
		}
		written := &content{ring: newRing(files)}
		if err := w.api.put(r.secret, written); err != nil {
			return err
		}
		r.before = held
		err := w.prove(action.ID, name, "the Secret holds "+written.ring.describe())
		if err != nil {
			return err
		}
	}
	return nil
}

// describe returns the files' names: what is wrong with a ring shows in them.
func (r *ring) describe() string { return strings.Join(r.names(), ", ") }

// nextID returns an id that no key had, for a key that people make.
func (r *rotated) nextID() string {
	if r.spec.IDs != rotation.Counter || r.state == nil {
		return r.spec.Prefix + "hand" + strconv.Itoa(r.operator.keys+1)
	}
	r.byHand = max(r.byHand, r.state.Counter) + 1
	return r.spec.Prefix + strconv.FormatInt(r.byHand, 10)
}

// spoiled returns a ring's files with what is wrong as told.
func (r *rotated) spoiled(held *ring, how string) []keyFile {
	files := slices.Clone(held.files)
	fresh := keyFiles(r.nextID(), r.operator.newKey(r.spec.Generate), true)
	if how == scenarios.TwoPrimaries {
		return append(files, fresh...)
	}
	for i := range files {
		files[i].name = strings.TrimSuffix(files[i].name, primaryMark)
	}
	if how == scenarios.NoPrimary {
		return files
	}
	if len(fresh) == 1 {
		fresh[0].key = nil // its file is there, and empty
	}
	return append(files, fresh[0]) // of a pair, the private part alone
}
