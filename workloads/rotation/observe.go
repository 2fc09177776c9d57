package rotation

import (
	"fmt"
	"strings"
	"time"
)

// startOver is the hint of everything that people may have meant: what they left is taken as it is.
const startOver = "put it back, or remove the remembered state to go on from the files as they are"

// Observe returns the ring that the files make and the State they are in, and what keeps it from
// being certain. It changes nothing that fits. Without a State it makes one from the files. When
// there is a problem, the State is worthless. No keys and no problem is a secret to be created;
// its State is zero but for the orders, which count as carried out.
func Observe(in Input) (Ring, State, []Problem) {
	ring, problems := ReadRing(in.Names)
	if len(problems) > 0 {
		return ring, State{}, problems
	}
	if in.State == nil {
		state, problems := rebuild(in, ring)
		return ring, state, problems
	}
	state := in.State.canonical()
	if !state.sound() {
		return ring, State{}, []Problem{{
			Reason: InvalidState, Path: "state",
			What: fmt.Sprintf("its keys do not fit its phase %q", state.Phase), Hint: startOver,
		}}
	}
	return ring, state, compare(ring, state.ring())
}

// compare says how the ring is not as it was left.
func compare(ring, left Ring) []Problem {
	if ring.equal(left) {
		return nil
	}
	if len(ring.IDs) == 0 {
		return []Problem{{
			KeysMissing, strings.Join(left.IDs, ", "), "all keys are gone", startOver,
		}}
	}
	var problems []Problem
	for _, id := range ring.IDs {
		if !left.Has(id) {
			problems = append(problems, Problem{
				UnknownKey, id, "this rotation did not make this key", startOver,
			})
		}
	}
	for _, id := range left.IDs {
		if !ring.Has(id) {
			problems = append(problems, Problem{MissingKey, id, "the key is gone", startOver})
		}
	}
	if len(problems) == 0 {
		problems = append(problems, Problem{
			PrimaryMoved, ring.Primary,
			fmt.Sprintf("the key is primary, where %s was", left.Primary), startOver,
		})
	}
	return problems
}

// rebuild makes a State from the files. Every wait starts over, and orders count as carried out:
// nobody can tell whether they were.
func rebuild(in Input, ring Ring) (State, []Problem) {
	now := in.Now.UTC().Round(0)
	state := State{
		Primary: ring.Primary, Rotate: in.Orders.Rotate, Resume: in.Orders.Resume,
	}
	if len(ring.IDs) == 0 {
		if in.Managed {
			return State{}, []Problem{{
				KeysMissing, "", "a secret rotated before has no keys",
				"restore them; to do without what they protect, have it created anew",
			}}
		}
		return state, nil
	}
	state.Since, state.Rotated = now, now
	if in.Managed {
		// Ids were given out that the files no longer show, those of rollbacks, and migrations
		// ended whose outcome must not count for the next. No number that counts what happens
		// less than once a second has got to the seconds since 1970.
		state.Counter, state.Attempt = now.Unix(), now.Unix()
	} else if _, at, ok := born(ring.Primary); ok && at.Before(now) {
		state.Rotated = at
	}
	other := ring.other()
	if other == "" {
		state.Phase = Steady
		return state, nil
	}
	order, ok := Order(other, ring.Primary)
	switch {
	case !ok:
		return State{}, []Problem{{
			Ambiguous, strings.Join(ring.IDs, ", "),
			"which of two keys is the newer cannot be told from their ids",
			"restore the remembered state, or remove the key that nobody uses",
		}}
	case order < 0: // promoted: the older key has been primary, so every consumer has it
		state.Phase, state.Retiring, state.Back = Retiring, other, true
	case in.Orders.Reject == other: // rolled back, or abandoned: whether all had it is forgotten
		state.Phase, state.Retiring = Retiring, other
	default:
		state.Phase, state.Next = Published, other
	}
	return state, nil
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
