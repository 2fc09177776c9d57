package rotation_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/rotation"
)

// world is a secret, its consumers and people who order things, driven by chance. It knows the
// truth, and holds every write against it.
type world struct {
	rng    *rand.Rand
	decide func(rotation.Input) rotation.Decision
	spec   rotation.Spec
	source rotation.Source
	now    time.Time

	files      map[string][]byte
	annotation string
	managed    bool
	orders     rotation.Orders
	migration  rotation.Migration
	tokens     int
	consumers  map[string]*consumer

	// What is true of the past.
	material map[string]string                // of every file of a key ever made, without .primary
	used     map[string]bool                  // ids
	served   map[string]bool                  // orders
	begun    time.Time                        // when the last key was made
	since    map[rotation.Action]time.Time    // when a file was last changed so
	signed   map[string]time.Time             // when somebody last signed with a key
	movedAt  map[rotation.Migration]time.Time // when migrations ended well
	actions  map[rotation.Action]int
	wrong    []string
}

// consumer uses the ring that it read last, and has reported one that it had.
type consumer struct {
	ring   rotation.Ring
	report rotation.Report
}

func newWorld(seed uint64, decide func(rotation.Input) rotation.Decision) *world {
	rng := rand.New(rand.NewPCG(seed, 0))
	seconds := func(most int) time.Duration { return time.Duration(rng.IntN(most)) * time.Second }
	return &world{
		rng: rng, decide: decide, now: start,
		spec: rotation.Spec{
			Generate:     rotation.Key{Kind: rotation.Symmetric, Length: 16},
			Every:        seconds(1000), // down to none, and to shorter than a rotation
			PromoteAfter: seconds(100), RetireAfter: seconds(200),
			Gate:          []rotation.Gate{rotation.Time, rotation.Uptake}[rng.IntN(2)],
			UptakeTimeout: time.Second + seconds(100), HoldHalt: rng.IntN(4) == 0,
			IDs: []rotation.IDKind{
				rotation.Counter, rotation.Timestamp, rotation.UUID,
			}[rng.IntN(3)],
			Prefix: "r", Migrate: rng.IntN(3) == 0,
		},
		source:    rotation.Source{Random: rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})},
		consumers: map[string]*consumer{},
		material:  map[string]string{}, used: map[string]bool{}, served: map[string]bool{},
		since: map[rotation.Action]time.Time{}, signed: map[string]time.Time{},
		movedAt: map[rotation.Migration]time.Time{}, actions: map[rotation.Action]int{},
	}
}

func (w *world) fail(format string, args ...any) {
	w.wrong = append(w.wrong, w.now.Sub(start).String()+": "+fmt.Sprintf(format, args...))
}

func (w *world) ring() rotation.Ring {
	ring, problems := rotation.ReadRing(rotation.Names(w.files))
	if len(problems) > 0 || len(w.files) > 0 && len(ring.IDs) == 0 {
		w.fail("broken ring: %v", problems)
	}
	return ring
}

func (w *world) input() rotation.Input {
	in := rotation.Input{
		Spec: w.spec, Names: rotation.Names(w.files), Managed: w.managed, Orders: w.orders,
		Migration: w.migration, Now: w.now,
	}
	for _, name := range slices.Sorted(maps.Keys(w.consumers)) {
		in.Uptake = append(in.Uptake, w.consumers[name].report)
	}
	if w.annotation != "" {
		state, err := rotation.ParseState(w.annotation)
		if err != nil {
			w.fail("annotation: %v", err)
		}
		in.State = &state
	}
	return in
}

// tick lets time pass, things happen, and the driver work, or crash.
func (w *world) tick(trouble bool) {
	w.now = w.now.Add(time.Duration(1+w.rng.IntN(20)) * time.Second)
	for _, name := range slices.Sorted(maps.Keys(w.consumers)) {
		w.live(w.consumers[name], trouble)
	}
	if trouble {
		w.trouble()
	}
	in := w.input()
	d := w.decide(in)
	w.migrate(d, trouble)
	if !reflect.DeepEqual(d, w.decide(in)) {
		w.fail("two decisions on one input")
	}
	if !d.Write || trouble && w.rng.IntN(10) == 0 { // a crash before the write
		return
	}
	secret, err := rotation.Apply(d, w.files, w.source)
	if err != nil {
		w.fail("%v: %v", d.Action, err)
		return
	}
	w.judge(d, secret)
	w.files, w.annotation, w.managed = secret.Files, secret.State.String(), true
	w.settle(d)
	if trouble && w.rng.IntN(10) == 0 && changesFiles(d.Action) { // told that the write failed
		if _, err := rotation.Apply(d, w.files, w.source); err == nil {
			w.fail("%v was applied twice", d.Action)
		}
	}
}

func changesFiles(action rotation.Action) bool {
	return slices.Contains([]rotation.Action{
		rotation.Create, rotation.Publish, rotation.Promote, rotation.Rollback, rotation.Retire,
	}, action)
}

// live lets a consumer sign with what it has, read what there is, and be asked.
func (w *world) live(c *consumer, trouble bool) {
	slow := 2
	if trouble {
		slow = 8
	}
	w.signed[c.ring.Primary] = w.now
	if w.rng.IntN(slow) == 0 {
		c.ring = w.ring()
	}
	if w.rng.IntN(slow) < 2 {
		c.report.Ring, c.report.Seen = c.ring, w.now
	}
	if trouble && w.rng.IntN(50) == 0 {
		c.report.Seen = time.Time{} // silent
	}
}

func (w *world) trouble() {
	switch name := fmt.Sprintf("c%d", w.rng.IntN(4)); w.rng.IntN(40) {
	case 0:
		delete(w.consumers, name)
	case 1, 2, 3:
		if w.consumers[name] == nil && len(w.files) > 0 { // a pod starts with what there is
			w.consumers[name] = &consumer{
				ring: w.ring(), report: rotation.Report{Consumer: name},
			}
		}
	case 4:
		w.annotation = ""
	case 5, 6:
		w.tokens++
		w.orders.Rotate = fmt.Sprint("rotate ", w.tokens)
	case 7:
		w.tokens++
		w.orders.Resume = fmt.Sprint("resume ", w.tokens)
	case 8, 9:
		if ring := w.ring(); len(ring.IDs) > 0 {
			w.orders.Reject = ring.IDs[w.rng.IntN(len(ring.IDs))]
		}
	case 10:
		w.orders.Reject = ""
	}
}

// migrate runs migrations as decided: one at a time, ending some time, badly now and then.
func (w *world) migrate(d rotation.Decision, trouble bool) {
	if d.Action != rotation.Migrate {
		return
	}
	asked := rotation.Migration{From: d.From, To: d.To, Attempt: d.Attempt}
	if w.rng.IntN(6) > 0 {
		return
	}
	if asked.Failed = trouble && w.rng.IntN(3) == 0; !asked.Failed {
		if w.spec.Gate == rotation.Uptake && w.usedBy(d.From) != "" {
			w.fail("migrated from %s while %s signs with it", d.From, w.usedBy(d.From))
		}
		w.movedAt[asked] = w.now
		asked.Done = true
	}
	w.migration = asked
}

// usedBy returns a consumer that signs with a key, or "".
func (w *world) usedBy(id string) string {
	for _, name := range slices.Sorted(maps.Keys(w.consumers)) {
		if w.consumers[name].ring.Primary == id {
			return name
		}
	}
	return ""
}

// judge holds a write against everything that must be so.
func (w *world) judge(d rotation.Decision, secret rotation.Secret) {
	w.actions[d.Action]++
	before := w.ring()
	after, problems := rotation.ReadRing(rotation.Names(secret.Files))
	if len(problems) > 0 || len(after.IDs) < 1 || len(after.IDs) > 2 || after.Primary == "" {
		w.fail("%v leaves %v %v", d.Action, secret, problems)
	}
	for name, data := range secret.Files {
		name = strings.TrimSuffix(name, ".primary")
		if old, ok := w.material[name]; ok && !bytes.Equal([]byte(old), data) {
			w.fail("%s changed", name)
		}
		w.material[name] = string(data)
	}
	for _, id := range after.IDs {
		if !before.Has(id) && w.used[id] {
			w.fail("id %s is used again", id)
		}
		w.used[id] = true
	}
	switch d.Action {
	case rotation.Publish:
		w.judgePublish(d)
	case rotation.Promote:
		w.judgePromote(d)
	case rotation.Retire:
		w.judgeRetire(d, before)
	case rotation.Rollback:
		if w.orders.Reject != d.From || !before.Has(d.To) {
			w.fail("rolled back from %s, unasked", d.From)
		}
		w.judgeKnown(d.To)
	case rotation.Create:
		if w.managed {
			w.fail("created twice")
		}
	case rotation.Wait, rotation.Abandon, rotation.Migrate, rotation.Halt:
		if !reflect.DeepEqual(secret.Files, w.files) {
			w.fail("%v changes files", d.Action)
		}
	}
}

func (w *world) judgePublish(d rotation.Decision) {
	if d.Reason == rotation.Ordered {
		if w.served[w.orders.Rotate] {
			w.fail("two rotations for the order %q", w.orders.Rotate)
		}
		w.served[w.orders.Rotate] = true
	} else if w.spec.Every == 0 || w.now.Sub(w.begun) < w.spec.Every {
		w.fail("a second rotation within %v", w.spec.Every)
	}
}

func (w *world) judgePromote(d rotation.Decision) {
	if w.orders.Reject == d.To {
		w.fail("promoted %s, which was rejected", d.To)
	}
	if w.now.Sub(w.since[rotation.Publish]) < w.spec.PromoteAfter {
		w.fail("promoted too early")
	}
	if w.spec.Gate == rotation.Uptake && len(w.consumers) == 0 {
		w.fail("promoted %s with nobody to ask", d.To)
	}
	w.judgeKnown(d.To)
}

// judgeKnown asks that whoever must verify with a new primary can.
func (w *world) judgeKnown(id string) {
	for name, c := range w.consumers {
		if w.spec.Gate == rotation.Uptake && !c.ring.Has(id) {
			w.fail("made %s primary, which %s does not have", id, name)
		}
	}
}

func (w *world) judgeRetire(d rotation.Decision, before rotation.Ring) {
	if before.Primary == d.ID {
		w.fail("removed the primary")
	}
	since := w.since[rotation.Promote] // a rollback, and giving a key up, are such times too
	if w.spec.Gate == rotation.Uptake {
		since = w.signed[d.ID]
		if name := w.usedBy(d.ID); name != "" {
			w.fail("removed %s, with which %s signs", d.ID, name)
		}
	}
	if took := w.now.Sub(since); took < w.spec.RetireAfter {
		w.fail("removed %s after %v", d.ID, took)
	}
	migrated := !w.spec.Migrate
	for m := range w.movedAt {
		migrated = migrated || m.From == d.ID && m.To == before.Primary &&
			!w.movedAt[m].Before(since)
	}
	if !migrated {
		w.fail("removed %s before its data moved to %s", d.ID, before.Primary)
	}
}

// settle remembers a write, and that the decision after it is at peace with it.
func (w *world) settle(d rotation.Decision) {
	switch d.Action {
	case rotation.Create, rotation.Publish:
		w.begun = w.now
		w.since[rotation.Publish] = w.now
	case rotation.Promote, rotation.Rollback, rotation.Abandon:
		w.since[rotation.Promote] = w.now
	case rotation.Wait, rotation.Migrate, rotation.Halt:
		again := w.decide(w.input())
		if again.Action == d.Action && again.Write && d.Action != rotation.Migrate {
			w.fail("%v is written again and again", d.Action)
		}
	case rotation.Retire:
	}
}

// run lets a world live with trouble, then heals it: what was ordered is then done.
func run(seed uint64, decide func(rotation.Input) rotation.Decision) *world {
	const ticks, healing = 600, 300
	w := newWorld(seed, decide)
	for range ticks {
		w.tick(true)
		if len(w.wrong) > 0 {
			return w
		}
	}
	w.orders.Reject, w.spec.HoldHalt, w.spec.Every = "", false, 0
	w.orders.Resume = "healed"
	w.consumers["last"] = &consumer{ring: w.ring(), report: rotation.Report{Consumer: "last"}}
	w.tick(false)
	before := w.actions[rotation.Publish]
	w.orders.Rotate = "last"
	for range healing {
		w.tick(false)
	}
	if len(w.ring().IDs) != 1 || !w.served["last"] || w.actions[rotation.Publish] > before+2 {
		w.fail("not healed: %v, %v", rotation.Decide(w.input()).Message(), w.files)
	}
	return w
}

const worlds = 150

func TestModel(t *testing.T) {
	actions := map[rotation.Action]int{}
	for seed := range uint64(worlds) {
		w := run(seed, rotation.Decide)
		require.Empty(t, w.wrong, "seed %d, %+v", seed, w.spec)
		for action, n := range w.actions {
			actions[action] += n
		}
	}
	t.Log(actions)
	for _, action := range []rotation.Action{
		rotation.Publish, rotation.Promote, rotation.Rollback, rotation.Abandon, rotation.Retire,
		rotation.Migrate, rotation.Halt,
	} {
		assert.Greater(t, actions[action], 20, "%v hardly ever happened", action)
	}
}

// A model that passes whatever the machine does proves nothing: each of these drivers takes one
// safeguard away, and the model says so.
func TestModelSeesBrokenMachines(t *testing.T) {
	// lie has the machine decide on an input that is not so.
	lie := func(change func(*rotation.Input)) func(rotation.Input) rotation.Decision {
		return func(in rotation.Input) rotation.Decision {
			in.Uptake = slices.Clone(in.Uptake)
			change(&in)
			return rotation.Decide(in)
		}
	}
	for _, test := range []struct {
		name   string
		decide func(rotation.Input) rotation.Decision
		want   string
	}{
		{"no gate", lie(func(in *rotation.Input) {
			in.Spec.Gate = rotation.Time
		}), "does not have"},
		{"early promotion", lie(func(in *rotation.Input) {
			in.Spec.PromoteAfter = 0
		}), "too early"},
		{"early removal", lie(func(in *rotation.Input) { in.Spec.RetireAfter /= 2 }), " after "},
		{"short period", lie(func(in *rotation.Input) { in.Spec.Every /= 2 }), "second rotation"},
		{"no migration", lie(func(in *rotation.Input) { in.Spec.Migrate = false }), "data moved"},
		{"deaf to rejections", lie(func(in *rotation.Input) { in.Orders.Reject = "" }), "rejected"},
		{"forgets ids", lie(func(in *rotation.Input) { in.Managed = false }), "used again"},
		{"forgets orders", lie(func(in *rotation.Input) {
			if in.State != nil {
				state := *in.State
				state.Rotate, in.State = "", &state
			}
		}), "two rotations for the order"},
		{"believes old words", lie(func(in *rotation.Input) {
			for i := range in.Uptake {
				in.Uptake[i].Seen = in.Now
			}
		}), "signs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for seed := range uint64(worlds) {
				if strings.Contains(strings.Join(run(seed, test.decide).wrong, "\n"), test.want) {
					return
				}
			}
			t.Errorf("no world says %q", test.want)
		})
	}
}
