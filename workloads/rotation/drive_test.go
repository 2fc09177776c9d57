package rotation_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/rotation"
)

// start is when tests begin.
var start = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

// driver keeps one secret the way a controller does, for tests of one transition after another.
type driver struct {
	t      *testing.T
	in     rotation.Input
	files  map[string][]byte
	source rotation.Source
}

// newDriver has a secret that was just created, at start.
func newDriver(t *testing.T, spec rotation.Spec) *driver {
	t.Helper()
	d := &driver{
		t: t, in: rotation.Input{Spec: spec.WithDefaults(), Now: start},
		source: rotation.Source{Random: seeded(1)},
	}
	assert.Equal(t, rotation.Create, d.step().Action)
	return d
}

func seeded(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

// at goes to an offset from start.
func (d *driver) at(offset time.Duration) *driver {
	d.in.Now = start.Add(offset)
	return d
}

// step decides and applies.
func (d *driver) step() rotation.Decision {
	d.t.Helper()
	decision := rotation.Decide(d.in)
	if !decision.Write {
		return decision
	}
	secret, err := rotation.Apply(decision, d.files, d.source)
	require.NoError(d.t, err)
	d.files, d.in.Names, d.in.Managed = secret.Files, rotation.Names(secret.Files), true
	state, err := rotation.ParseState(secret.State.String())
	require.NoError(d.t, err)
	d.in.State = &state
	return decision
}

// is steps and asserts what happened and which files there are then.
func (d *driver) is(
	action rotation.Action, reason rotation.Reason, files ...string,
) rotation.Decision {
	d.t.Helper()
	decision := d.step()
	assert.Equal(d.t, action, decision.Action, decision.Message())
	assert.Equal(d.t, reason, decision.Reason, decision.Message())
	assert.Equal(d.t, files, d.in.Names)
	return decision
}

// report is of a consumer that read a ring, seen now.
func (d *driver) report(consumer, primary string, ids ...string) {
	ring := rotation.Ring{Primary: primary, IDs: ids}
	report := rotation.Report{Consumer: consumer, Ring: ring, Seen: d.in.Now}
	for i := range d.in.Uptake {
		if d.in.Uptake[i].Consumer == consumer {
			d.in.Uptake[i] = report
			return
		}
	}
	d.in.Uptake = append(d.in.Uptake, report)
}

const minute = time.Minute

func byTime() rotation.Spec {
	return rotation.Spec{Every: 100 * minute, PromoteAfter: 10 * minute, RetireAfter: 20 * minute}
}

func byUptake() rotation.Spec {
	return rotation.Spec{
		Every: 100 * minute, RetireAfter: 20 * minute, Gate: rotation.Uptake,
		UptakeTimeout: 30 * minute,
	}
}

func TestRotationByTime(t *testing.T) {
	d := newDriver(t, byTime())
	first := d.files["r1.key.primary"]
	wait := d.at(100*minute-1).is(rotation.Wait, rotation.NotDue, "r1.key.primary")
	assert.Equal(t, start.Add(100*minute), wait.Until)
	assert.False(t, wait.Write)
	d.at(100*minute).is(rotation.Publish, rotation.Due, "r1.key.primary", "r2.key")
	second := d.files["r2.key"]
	wait = d.at(110*minute-1).is(rotation.Wait, rotation.TooEarlyToPromote,
		"r1.key.primary", "r2.key")
	assert.Equal(t, start.Add(110*minute), wait.Until)
	d.at(110*minute).is(rotation.Promote, rotation.TakenUp, "r1.key", "r2.key.primary")
	assert.Equal(t, map[string][]byte{"r1.key": first, "r2.key.primary": second}, d.files)
	d.at(130*minute-1).is(rotation.Wait, rotation.TooEarlyToRetire, "r1.key", "r2.key.primary")
	d.at(130*minute).is(rotation.Retire, rotation.OutOfUse, "r2.key.primary")
	assert.Equal(t, map[string][]byte{"r2.key.primary": second}, d.files)
	wait = d.is(rotation.Wait, rotation.NotDue, "r2.key.primary")
	assert.Equal(t, start.Add(200*minute), wait.Until, "the period runs from the publication")
}

func TestRotationByUptake(t *testing.T) {
	d := newDriver(t, byUptake())
	d.in.Uptake = []rotation.Report{{Consumer: "b"}}
	d.report("a", "r1", "r1")
	d.at(100*minute).is(rotation.Publish, rotation.Due, "r1.key.primary", "r2.key")
	wait := d.at(101*minute).is(rotation.Wait, rotation.UptakePending, "r1.key.primary", "r2.key")
	assert.Equal(t, []rotation.Late{{"a", rotation.Outdated}, {"b", rotation.Silent}}, wait.Late)
	assert.Equal(t, start.Add(130*minute), wait.Until)
	d.report("a", "r1", "r1", "r2")
	d.report("b", "r1", "r1")
	halt := d.at(130*minute).is(rotation.Halt, rotation.UptakeTimedOut, "r1.key.primary", "r2.key")
	assert.Equal(t, []rotation.Late{{"b", rotation.LacksKey}}, halt.Late)
	assert.Contains(t, halt.Message(), "b (LacksKey)")
	assert.Equal(t, rotation.UptakeTimedOut, d.in.State.Halted)
	assert.False(t, rotation.Decide(d.in).Write, "a halt is written once")

	d.report("b", "r1", "r1", "r2")
	d.is(rotation.Promote, rotation.TakenUp, "r1.key", "r2.key.primary")
	assert.Empty(t, d.in.State.Halted)
	wait = d.at(131*minute).is(rotation.Wait, rotation.UptakePending, "r1.key", "r2.key.primary")
	assert.Len(t, wait.Late, 2)
	d.report("a", "r2", "r1", "r2")
	d.report("b", "r1", "r1", "r2")
	wait = d.at(140*minute).is(rotation.Wait, rotation.UptakePending, "r1.key", "r2.key.primary")
	assert.Equal(t, []rotation.Late{{"b", rotation.OtherSigner}}, wait.Late)
	d.report("b", "r2", "r1", "r2")
	wait = d.is(rotation.Wait, rotation.TooEarlyToRetire, "r1.key", "r2.key.primary")
	assert.Equal(t, start.Add(160*minute), wait.Until, "from the last of them, not the promotion")
	wait = d.at(160*minute).is(rotation.Wait, rotation.UptakePending, "r1.key", "r2.key.primary")
	assert.Equal(t, rotation.Late{"a", rotation.Outdated}, wait.Late[0], "old words do not count")
	d.report("a", "r2", "r1", "r2")
	d.report("b", "r2", "r1", "r2")
	d.is(rotation.Retire, rotation.OutOfUse, "r2.key.primary")
}

// Somebody who signs with the old key again starts the wait anew.
func TestRelapse(t *testing.T) {
	d := newDriver(t, byUptake())
	d.at(100 * minute).step()
	d.report("a", "r1", "r1", "r2")
	d.is(rotation.Promote, rotation.TakenUp, "r1.key", "r2.key.primary")
	d.report("a", "r2", "r1", "r2")
	d.is(rotation.Wait, rotation.TooEarlyToRetire, "r1.key", "r2.key.primary")
	d.at(110 * minute)
	d.in.Uptake[0].Seen = time.Time{}
	d.is(rotation.Wait, rotation.TooEarlyToRetire, "r1.key", "r2.key.primary") // silence is no use
	d.report("a", "r1", "r1", "r2")
	d.is(rotation.Wait, rotation.UptakePending, "r1.key", "r2.key.primary")
	d.at(115*minute).report("a", "r2", "r1", "r2")
	wait := d.is(rotation.Wait, rotation.TooEarlyToRetire, "r1.key", "r2.key.primary")
	assert.Equal(t, start.Add(135*minute), wait.Until)
}

func (d *driver) reportAt(offset time.Duration) { d.at(offset).report("a", "r2", "r1", "r2") }

// Nobody to ask is not everybody ready.
func TestNoConsumers(t *testing.T) {
	d := newDriver(t, byUptake())
	d.at(100*minute).is(rotation.Publish, rotation.Due, "r1.key.primary", "r2.key")
	d.is(rotation.Wait, rotation.NoConsumers, "r1.key.primary", "r2.key")
	d.at(130*minute).is(rotation.Halt, rotation.NoConsumers, "r1.key.primary", "r2.key")
	d.report("a", "r1", "r1", "r2")
	d.is(rotation.Promote, rotation.TakenUp, "r1.key", "r2.key.primary")
	d.reportAt(131 * minute)
	d.is(rotation.Wait, rotation.TooEarlyToRetire, "r1.key", "r2.key.primary")
	d.in.Uptake = nil
	d.at(151*minute).is(rotation.Wait, rotation.NoConsumers, "r1.key", "r2.key.primary")
	d.at(181*minute).is(rotation.Halt, rotation.NoConsumers, "r1.key", "r2.key.primary")
}

// By time, a report can hold a step back though silence cannot.
func TestReportHoldsTimeBack(t *testing.T) {
	d := newDriver(t, byTime())
	d.in.Uptake = []rotation.Report{{Consumer: "silent"}}
	d.at(100 * minute).step()
	d.at(110*minute).report("a", "r1", "r1")
	wait := d.is(rotation.Wait, rotation.UptakePending, "r1.key.primary", "r2.key")
	assert.Equal(t, []rotation.Late{{"a", rotation.LacksKey}}, wait.Late)
	d.report("a", "r1", "r1", "r2")
	d.is(rotation.Promote, rotation.TakenUp, "r1.key", "r2.key.primary")
	d.at(130*minute).report("a", "r1", "r1", "r2")
	d.is(rotation.Wait, rotation.UptakePending, "r1.key", "r2.key.primary")
	d.report("a", "r2", "r1", "r2")
	d.is(rotation.Retire, rotation.OutOfUse, "r2.key.primary")
}

func TestHoldHaltAndResume(t *testing.T) {
	spec := byUptake()
	spec.HoldHalt = true
	d := newDriver(t, spec)
	d.at(100*minute).report("a", "r1", "r1")
	d.step()
	d.at(130*minute).is(rotation.Halt, rotation.UptakeTimedOut, "r1.key.primary", "r2.key")
	d.in.Orders.Resume = "go"
	wait := d.at(131*minute).is(rotation.Wait, rotation.UptakePending, "r1.key.primary", "r2.key")
	assert.Equal(t, start.Add(161*minute), wait.Until, "a new time-out")
	d.at(161*minute).is(rotation.Halt, rotation.UptakeTimedOut, "r1.key.primary", "r2.key")
	d.report("a", "r1", "r1", "r2")
	d.is(rotation.Halt, rotation.UptakeTimedOut, "r1.key.primary", "r2.key")
	d.in.Orders.Resume = "go on"
	d.is(rotation.Promote, rotation.TakenUp, "r1.key", "r2.key.primary")
}

func TestOrders(t *testing.T) {
	d := newDriver(t, byTime())
	d.in.Orders.Rotate = "leak-1"
	d.at(minute).is(rotation.Publish, rotation.Ordered, "r1.key.primary", "r2.key")
	d.in.Orders.Rotate = "leak-2" // while one is under way: after it, once
	d.at(2*minute).is(rotation.Wait, rotation.TooEarlyToPromote, "r1.key.primary", "r2.key")
	d.in.Orders.Rotate = "leak-3"
	d.at(11*minute).is(rotation.Promote, rotation.TakenUp, "r1.key", "r2.key.primary")
	d.at(31*minute).is(rotation.Retire, rotation.OutOfUse, "r2.key.primary")
	d.is(rotation.Publish, rotation.Ordered, "r2.key.primary", "r3.key")
	d.at(41 * minute).step()
	d.at(61*minute).is(rotation.Retire, rotation.OutOfUse, "r3.key.primary")
	wait := d.is(rotation.Wait, rotation.NotDue, "r3.key.primary")
	assert.Equal(t, start.Add(131*minute), wait.Until, "an order moves the schedule")
	d.in.Orders.Rotate = ""
	d.is(rotation.Wait, rotation.NotDue, "r3.key.primary")
	d.in.Orders.Rotate = "leak-3"
	d.is(rotation.Wait, rotation.NotDue, "r3.key.primary")
	d.in.Orders.Rotate = "leak-4" // with the period over: one rotation for both
	d.at(131*minute).is(rotation.Publish, rotation.Ordered, "r3.key.primary", "r4.key")
}

// Periods missed are not made up for.
func TestMissedPeriods(t *testing.T) {
	d := newDriver(t, byTime())
	d.at(1000*minute).is(rotation.Publish, rotation.Due, "r1.key.primary", "r2.key")
	d.at(1010*minute).is(rotation.Promote, rotation.TakenUp, "r1.key", "r2.key.primary")
	d.at(1030*minute).is(rotation.Retire, rotation.OutOfUse, "r2.key.primary")
	wait := d.is(rotation.Wait, rotation.NotDue, "r2.key.primary")
	assert.Equal(t, start.Add(1100*minute), wait.Until)
}

// A period shorter than the rotation makes rotations follow one another, never overlap.
func TestFasterThanPropagation(t *testing.T) {
	spec := byTime()
	spec.Every = minute
	d := newDriver(t, spec)
	d.at(minute).is(rotation.Publish, rotation.Due, "r1.key.primary", "r2.key")
	d.at(3*minute).is(rotation.Wait, rotation.TooEarlyToPromote, "r1.key.primary", "r2.key")
	d.at(11*minute).is(rotation.Promote, rotation.TakenUp, "r1.key", "r2.key.primary")
	d.at(30*minute).is(rotation.Wait, rotation.TooEarlyToRetire, "r1.key", "r2.key.primary")
	d.at(31*minute).is(rotation.Retire, rotation.OutOfUse, "r2.key.primary")
	d.is(rotation.Publish, rotation.Due, "r2.key.primary", "r3.key")
}

func TestRollback(t *testing.T) {
	d := newDriver(t, byUptake())
	d.at(100*minute).is(rotation.Publish, rotation.Due, "r1.key.primary", "r2.key")
	d.at(101*minute).report("a", "r1", "r1", "r2")
	d.is(rotation.Promote, rotation.TakenUp, "r1.key", "r2.key.primary")
	d.at(102*minute).report("a", "r2", "r1", "r2")
	d.is(rotation.Wait, rotation.TooEarlyToRetire, "r1.key", "r2.key.primary")
	d.in.Orders.Reject = "r2"
	d.at(103*minute).is(rotation.Rollback, rotation.Rejected, "r1.key.primary", "r2.key")
	d.report("a", "r2", "r1", "r2")
	wait := d.is(rotation.Wait, rotation.UptakePending, "r1.key.primary", "r2.key")
	assert.Equal(t, []rotation.Late{{"a", rotation.OtherSigner}}, wait.Late)
	d.at(105*minute).report("a", "r1", "r1", "r2")
	wait = d.is(rotation.Wait, rotation.TooEarlyToRetire, "r1.key.primary", "r2.key")
	assert.Equal(t, start.Add(125*minute), wait.Until, "what r2 signed stays valid as long")
	d.at(125*minute).report("a", "r1", "r1", "r2")
	d.is(rotation.Retire, rotation.OutOfUse, "r1.key.primary")
	d.is(rotation.Wait, rotation.NotDue, "r1.key.primary")
	d.at(200*minute).is(rotation.Publish, rotation.Due, "r1.key.primary", "r3.key")
}

// A key rejected before its promotion is never promoted, and cannot be gone back to: some
// consumers may never have had it.
func TestAbandon(t *testing.T) {
	d := newDriver(t, byTime())
	d.at(100 * minute).step()
	d.in.Orders.Reject = "r2"
	d.at(101*minute).is(rotation.Abandon, rotation.Rejected, "r1.key.primary", "r2.key")
	d.in.Orders.Reject = "r1"
	d.at(110*minute).is(rotation.Wait, rotation.TooEarlyToRetire, "r1.key.primary", "r2.key")
	d.at(121*minute).is(rotation.Retire, rotation.OutOfUse, "r1.key.primary")
	d.is(rotation.Wait, rotation.NoWayBack, "r1.key.primary")
	d.in.Orders.Rotate = "now"
	d.is(rotation.Publish, rotation.Ordered, "r1.key.primary", "r3.key")
}

func TestMigration(t *testing.T) {
	spec := byUptake()
	spec.Migrate = true
	d := newDriver(t, spec)
	d.at(100 * minute).step()
	d.report("a", "r1", "r1", "r2")
	d.is(rotation.Promote, rotation.TakenUp, "r1.key", "r2.key.primary")
	d.is(rotation.Wait, rotation.UptakePending, "r1.key", "r2.key.primary")
	d.reportAt(101 * minute)
	both := []string{"r1.key", "r2.key.primary"}
	migrate := d.is(rotation.Migrate, rotation.MigrationPending, both...)
	assert.Equal(t, []string{"r1", "r2"}, []string{migrate.From, migrate.To})
	assert.True(t, migrate.Write)
	assert.False(t, d.is(rotation.Migrate, rotation.MigrationPending, both...).Write)
	d.in.Migration = rotation.Migration{From: "r1", To: "r2", Attempt: 7, Done: true}
	d.reportAt(121 * minute)
	d.is(rotation.Migrate, rotation.MigrationPending, both...) // of another attempt
	d.in.Migration = rotation.Migration{From: "r1", To: "r2", Attempt: 1, Failed: true}
	d.is(rotation.Halt, rotation.MigrationFailed, both...)
	d.in.Orders.Resume = "again"
	again := d.is(rotation.Migrate, rotation.MigrationPending, both...)
	assert.Equal(t, int64(2), again.Attempt)
	d.in.Orders.Reject = "r2" // data of r2 has to come back
	d.is(rotation.Rollback, rotation.Rejected, "r1.key.primary", "r2.key")
	d.at(122*minute).report("a", "r1", "r1", "r2")
	migrate = d.is(rotation.Migrate, rotation.MigrationPending, "r1.key.primary", "r2.key")
	assert.Equal(t, []string{"r2", "r1"}, []string{migrate.From, migrate.To})
	assert.Equal(t, int64(3), migrate.Attempt)
	d.in.Migration = rotation.Migration{From: "r2", To: "r1", Attempt: 3, Done: true}
	d.is(rotation.Wait, rotation.TooEarlyToRetire, "r1.key.primary", "r2.key")
	d.in.Migration = rotation.Migration{}
	d.at(142*minute).report("a", "r1", "r1", "r2")
	d.is(rotation.Retire, rotation.OutOfUse, "r1.key.primary")
}

// A failure that nobody reports any more still waits for the order that a held halt asks for.
func TestHoldFailedMigration(t *testing.T) {
	spec := byUptake()
	spec.Migrate, spec.HoldHalt = true, true
	d := newDriver(t, spec)
	d.at(100 * minute).step()
	d.report("a", "r1", "r1", "r2")
	d.step()
	d.reportAt(101 * minute)
	both := []string{"r1.key", "r2.key.primary"}
	d.is(rotation.Migrate, rotation.MigrationPending, both...)
	d.in.Migration = rotation.Migration{From: "r1", To: "r2", Attempt: 1, Failed: true}
	d.is(rotation.Halt, rotation.MigrationFailed, both...)
	d.in.Migration = rotation.Migration{}
	d.is(rotation.Halt, rotation.MigrationFailed, both...)
	d.in.Orders.Resume = "go"
	d.is(rotation.Migrate, rotation.MigrationPending, both...)
}

// By time, consumers are given as long to sign with the new key as they were to read it.
func TestMigrationByTime(t *testing.T) {
	spec := byTime()
	spec.Migrate = true
	d := newDriver(t, spec)
	d.at(100 * minute).step()
	d.at(110 * minute).step()
	both := []string{"r1.key", "r2.key.primary"}
	d.at(119*minute).is(rotation.Wait, rotation.TooEarlyToMigrate, both...)
	d.at(120*minute).is(rotation.Migrate, rotation.MigrationPending, both...)
	d.in.Migration = rotation.Migration{From: "r1", To: "r2", Attempt: 1, Done: true}
	d.at(121*minute).is(rotation.Wait, rotation.TooEarlyToRetire, both...)
	d.at(125*minute).report("a", "r1", "r1", "r2") // new data of r1
	d.is(rotation.Wait, rotation.UptakePending, both...)
	d.report("a", "r2", "r1", "r2")
	again := d.is(rotation.Migrate, rotation.MigrationPending, both...)
	assert.Equal(t, int64(2), again.Attempt)
	d.at(500*minute).is(rotation.Migrate, rotation.MigrationPending, both...)
}

func TestConditions(t *testing.T) {
	d := newDriver(t, byTime())
	d.at(100 * minute)
	conditions := rotation.Decide(d.in).Conditions()
	const message = "publish r2: the period is over"
	assert.Equal(t, []rotation.Condition{
		{rotation.Ready, true, rotation.Due, message},
		{rotation.Rotating, true, rotation.Due, message},
		{rotation.Halted, false, rotation.Due, message},
	}, conditions)
	d.in.Names = []string{"r1.key"}
	halted := rotation.Decide(d.in).Conditions()
	assert.Equal(t, rotation.Condition{
		rotation.Halted, true, rotation.NoPrimary,
		"halted: NoPrimary; r1: no key is primary; rename the file of one to end in .primary",
	}, halted[2])
}

// A decision is of one moment: on other files it is refused, and so is its repetition.
func TestApplyStale(t *testing.T) {
	d := newDriver(t, byTime())
	before := d.files
	d.at(100 * minute)
	decision := rotation.Decide(d.in)
	d.step()
	_, err := rotation.Apply(decision, d.files, d.source)
	_, stale := errors.AsType[*rotation.StaleError](err)
	assert.True(t, stale, "%v", err)
	assert.Equal(t, []string{"r1.key.primary"}, rotation.Names(before), "left as it was")
	assert.Contains(t, err.Error(), "read the files and decide again")
	refused := rotation.Decide(rotation.Input{Spec: d.in.Spec, Names: []string{"r1.key"}})
	_, err = rotation.Apply(refused, map[string][]byte{"r1.key": nil}, d.source)
	assert.Error(t, err)
}

// Files that are of no key stay, and a change of kind happens by rotation.
func TestOtherFilesAndKinds(t *testing.T) {
	d := newDriver(t, byTime())
	d.files["ca.crt"], d.files["r1.note"] = []byte("a"), []byte("b")
	d.in.Spec.Generate = rotation.Key{Kind: rotation.Ed25519}
	d.at(100*minute).is(rotation.Publish, rotation.Due,
		"ca.crt", "r1.key.primary", "r1.note", "r2.private", "r2.public")
	d.at(110*minute).is(rotation.Promote, rotation.TakenUp,
		"ca.crt", "r1.key", "r1.note", "r2.private.primary", "r2.public.primary")
	d.at(130*minute).is(rotation.Retire, rotation.OutOfUse,
		"ca.crt", "r1.note", "r2.private.primary", "r2.public.primary")
	assert.Equal(t, []byte("b"), d.files["r1.note"])
	secret := rotation.Secret{Files: map[string][]byte{"a": []byte("hush")}}
	assert.Equal(t, "a a a", fmt.Sprintf("%v %+v %#v", secret, secret, secret))
}
