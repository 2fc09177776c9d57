package rotation

import (
	"strconv"
	"time"
)

// Action is what a Decision does.
type Action string

// The actions. Create, Publish, Promote, Rollback and Retire change files.
const (
	Wait     Action = "Wait"
	Create   Action = "Create"   // the first key, as primary
	Publish  Action = "Publish"  // a new key beside the primary
	Abandon  Action = "Abandon"  // the new key will not be primary, and retires
	Promote  Action = "Promote"  // the new key becomes primary, the old one retires
	Rollback Action = "Rollback" // the retiring key becomes primary, the other one retires
	// Migrate has data moved. It is decided again and again until Input.Migration tells of its
	// end, so a driver sees to it that the migration runs, and that no earlier one does.
	Migrate Action = "Migrate"
	Retire  Action = "Retire" // the key that was on its way out is removed
	Halt    Action = "Halt"   // somebody has to do something; keys stay as they are
)

// Orders are what people asked for. They are declared, not sent: an order stands until another
// takes its place, and is carried out once.
type Orders struct {
	// Rotate is any text. When it changes, a rotation begins at once, or after the one under way:
	// a key made before the order is not the one that was asked for.
	Rotate string
	// Reject is the id of a key that must not be primary. It is never promoted, or the primary
	// goes back to the key before it.
	Reject string
	// Resume is any text. When it changes, a halt ends and waiting begins anew.
	Resume string
}

// Migration is how the migration that a Decision asked for ended. It counts only for the keys and
// the attempt of that Decision.
type Migration struct {
	From, To string
	Attempt  int64
	Done     bool
	Failed   bool
}

// Input is everything that Decide looks at.
type Input struct {
	Spec  Spec
	Names []string // of the files
	State *State   // nil when there is none, or it was lost
	// Managed says that this secret was rotated before, by what the driver remembers elsewhere. It
	// matters only without a State: no key is made in the place of lost ones, and no id is reused.
	Managed   bool
	Orders    Orders
	Uptake    []Report
	Migration Migration
	Now       time.Time
}

// Decision is what to do now.
type Decision struct {
	Action Action `json:"action"`
	Reason Reason `json:"reason"`
	// ID is the key made or removed. For a UUID it is empty until Apply draws it.
	ID      string `json:"id,omitempty"`
	From    string `json:"from,omitempty"` // of Promote, Rollback and Migrate
	To      string `json:"to,omitempty"`
	Attempt int64  `json:"attempt,omitempty"` // of Migrate
	// Until is when time alone changes the decision; zero when something else must happen.
	Until    time.Time `json:"until,omitzero"`
	Late     []Late    `json:"late,omitempty"`
	Problems []Problem `json:"problems,omitempty"`
	// Next is the State to be written with the files, in one write.
	Next State `json:"next"`
	// Write says that there is something to write: files, State, or both.
	Write bool `json:"write"`

	key    Key    // what to make
	prefix string // of an ID to be drawn
	ring   Ring   // what it was decided on
}

// machine is one call of Decide.
type machine struct {
	in   Input
	now  time.Time
	ring Ring
	next State
}

// Decide returns what to do now. It is a pure function.
func Decide(in Input) Decision {
	if problems := in.Spec.Validate(); len(problems) > 0 {
		return refuse(in, problems)
	}
	ring, state, problems := Observe(in)
	if len(problems) > 0 {
		return refuse(in, problems)
	}
	m := &machine{in: in, now: in.Now.UTC().Round(0), ring: ring, next: state}
	d := m.decide()
	d.ring = ring
	d.Next = m.next
	d.Write = in.State == nil || in.State.canonical() != m.next
	return d
}

// refuse halts on problems and remembers nothing: they are seen again as long as they are there.
func refuse(in Input, problems []Problem) Decision {
	d := Decision{Action: Halt, Reason: problems[0].Reason, Problems: problems}
	if in.State != nil {
		d.Next = *in.State
	}
	return d
}

func (m *machine) decide() Decision {
	m.resume()
	switch m.next.Phase {
	case Steady:
		return m.steady()
	case Published:
		return m.published()
	case Retiring, Migrating:
		return m.retiring()
	}
	return m.create()
}

// resume carries out the order of that name.
func (m *machine) resume() {
	order := m.in.Orders.Resume
	if order == "" || order == m.next.Resume {
		return
	}
	if m.migration().Failed {
		m.next.Attempt++
	}
	m.next.Resume, m.next.Resumed, m.next.Halted = order, m.now, ""
}

// begin enters a phase. What was remembered of the one before is forgotten.
func (m *machine) begin(phase Phase) {
	m.next.Phase, m.next.Since = phase, m.now
	m.next.Settled, m.next.Halted, m.next.Migrated = time.Time{}, "", false
	if phase == Retiring {
		m.next.Attempt++
	}
}

func (m *machine) create() Decision {
	d := m.newKey(Create, FirstKey)
	m.begin(Steady)
	m.next.Primary, m.next.Rotated = d.ID, m.now
	return d
}

func (m *machine) steady() Decision {
	order := m.in.Orders.Rotate
	ordered := order != "" && order != m.next.Rotate
	due, waiting, reason := m.next.Rotated.Add(m.in.Spec.Every), NotDue, Due
	if m.in.Spec.Every == 0 {
		due, waiting = time.Time{}, OnlyByOrder
	}
	if m.in.Orders.Reject == m.next.Primary {
		waiting = NoWayBack
	}
	switch {
	case ordered: // which also serves a period that is due
		m.next.Rotate, reason = order, Ordered
	case due.IsZero() || m.now.Before(due):
		return m.wait(due, waiting)
	}
	d := m.newKey(Publish, reason)
	m.begin(Published)
	m.next.Next, m.next.Rotated = d.ID, m.now
	return d
}

func (m *machine) published() Decision {
	if m.in.Orders.Reject == m.next.Next {
		id := m.next.Next
		m.begin(Retiring)
		m.next.Retiring, m.next.Next, m.next.Back = id, "", false
		return Decision{Action: Abandon, Reason: Rejected, ID: id}
	}
	late := m.late(m.next.Since, m.has)
	ready := m.next.Since.Add(m.in.Spec.PromoteAfter)
	if d, open := m.gate(ready, TooEarlyToPromote, late); !open {
		return d
	}
	d := Decision{Action: Promote, Reason: TakenUp, From: m.next.Primary, To: m.next.Next}
	m.begin(Retiring)
	m.next.Primary, m.next.Next, m.next.Retiring, m.next.Back = d.To, "", d.From, true
	return d
}

func (m *machine) retiring() Decision {
	if m.in.Orders.Reject == m.next.Primary && m.next.Back {
		return m.rollback()
	}
	m.relapse()
	uptake := m.in.Spec.Gate == Uptake
	if !uptake || m.next.Settled.IsZero() {
		late := m.late(m.next.Since, m.signs)
		if d, open := m.gate(m.next.Since, UptakePending, late); !open {
			return d
		}
	}
	from := m.next.Since
	if uptake {
		if m.next.Settled.IsZero() {
			m.next.Settled = m.now
		}
		from = m.next.Settled
	}
	if m.in.Spec.Migrate && !m.next.Migrated {
		if d, done := m.migrate(); !done {
			return d
		}
	}
	due := from.Add(m.in.Spec.RetireAfter)
	var late []Late
	if !m.now.Before(due) { // a word from before the wait proves nothing about its end
		late = m.late(due, m.signs)
	}
	if d, open := m.gate(due, TooEarlyToRetire, late); !open {
		return d
	}
	id := m.next.Retiring
	m.begin(Steady)
	m.next.Retiring, m.next.Back = "", false
	return Decision{Action: Retire, Reason: OutOfUse, ID: id}
}

// rollback turns the two keys around. The rejected one is kept as long as an old one would be: it
// has signed, and its files take as long to be read.
func (m *machine) rollback() Decision {
	d := Decision{Action: Rollback, Reason: Rejected, From: m.next.Primary, To: m.next.Retiring}
	m.begin(Retiring)
	m.next.Primary, m.next.Retiring = d.To, d.From
	return d
}

// relapse forgets that everybody signed with the primary when somebody does not (any more), and
// with it the migration: there may be new data of the old key.
func (m *machine) relapse() {
	strayed := false
	for _, report := range m.in.Uptake {
		fresh := !report.Seen.IsZero() && !report.Seen.Before(m.next.Since)
		strayed = strayed || fresh && m.signs(report.Ring) != ""
	}
	if !strayed {
		return
	}
	m.next.Settled = time.Time{}
	if m.next.Migrated || m.next.Phase == Migrating {
		m.next.Phase, m.next.Migrated = Retiring, false
		m.next.Attempt++
	}
}

// migrate sees to the migration. It reports true when that is done.
func (m *machine) migrate() (Decision, bool) {
	if m.in.Spec.Gate == Time && m.next.Phase != Migrating {
		start := m.next.Since.Add(m.in.Spec.PromoteAfter)
		if m.now.Before(start) {
			return m.wait(start, TooEarlyToMigrate), false
		}
	}
	end := m.migration()
	switch {
	case end.Failed:
		return m.halt(MigrationFailed, nil), false
	case m.in.Spec.HoldHalt && m.next.Halted != "":
		return m.halt(m.next.Halted, nil), false
	case end.Done:
		m.next.Phase, m.next.Migrated = Retiring, true
		return Decision{}, true
	}
	m.next.Phase, m.next.Halted = Migrating, ""
	return Decision{
		Action: Migrate, Reason: MigrationPending,
		From: m.next.Retiring, To: m.next.Primary, Attempt: m.next.Attempt,
	}, false
}

// migration returns how the migration under way ended, or the zero value.
func (m *machine) migration() Migration {
	end := m.in.Migration
	if m.next.Phase != Migrating || end.From != m.next.Retiring || end.To != m.next.Primary ||
		end.Attempt != m.next.Attempt {
		return Migration{}
	}
	return end
}

// gate opens at a time when nobody is late. It halts when somebody is for too long.
func (m *machine) gate(ready time.Time, early Reason, late []Late) (Decision, bool) {
	nobody := m.in.Spec.Gate == Uptake && len(m.in.Uptake) == 0
	if m.in.Spec.HoldHalt && m.next.Halted != "" {
		return m.halt(m.next.Halted, late), false
	}
	if len(late) == 0 && !nobody {
		m.next.Halted = ""
		if m.now.Before(ready) {
			return m.wait(ready, early), false
		}
		return Decision{}, true
	}
	from := later(later(m.next.Since, m.next.Resumed), ready)
	deadline := from.Add(m.in.Spec.UptakeTimeout)
	reason := UptakeTimedOut
	if nobody {
		reason = NoConsumers
	}
	if !m.now.Before(deadline) {
		return m.halt(reason, late), false
	}
	m.next.Halted = ""
	d := m.wait(deadline, UptakePending)
	if nobody {
		d.Reason = NoConsumers
	}
	d.Late = late
	return d, false
}

// halt remembers the reason, so that it is known to hold.
func (m *machine) halt(reason Reason, late []Late) Decision {
	m.next.Halted = reason
	return Decision{Action: Halt, Reason: reason, Late: late}
}

func (m *machine) wait(until time.Time, reason Reason) Decision {
	return Decision{Action: Wait, Reason: reason, Until: until}
}

// newKey names a key. An id by time is of now, but later than all before, whatever the clock says.
func (m *machine) newKey(action Action, reason Reason) Decision {
	spec := m.in.Spec
	d := Decision{Action: action, Reason: reason, key: spec.Generate}
	m.next.Stamp = m.stamp()
	switch spec.IDs {
	case Counter:
		for _, id := range m.ring.IDs {
			if prefix, number, ok := count(id); ok && prefix == spec.Prefix {
				m.next.Counter = max(m.next.Counter, number)
			}
		}
		m.next.Counter++
		d.ID = spec.Prefix + strconv.FormatInt(m.next.Counter, 10)
	case Timestamp:
		d.ID = spec.Prefix + m.next.Stamp.Format(timeLayout)
	case UUID:
		d.prefix = spec.Prefix
	}
	return d
}

// stamp returns the time of a new id.
func (m *machine) stamp() time.Time {
	newest := m.next.Stamp
	for _, id := range m.ring.IDs {
		if _, at, ok := born(id); ok {
			newest = later(newest, at)
		}
	}
	if newest.IsZero() {
		return m.now
	}
	return later(m.now, newest.Truncate(time.Second).Add(time.Second))
}
