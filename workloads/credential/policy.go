package credential

import "time"

// PolicyKind says what makes a workload read its credential again.
type PolicyKind string

// The kinds of policies.
const (
	// LazyTTL reads on demand when the last read is a TTL old, as Akka's rotating keys do.
	LazyTTL PolicyKind = "lazy-ttl"
	// Poll reads at an interval, demand or not.
	Poll PolicyKind = "poll"
	// Watch reads when the watch on the volume fires.
	Watch PolicyKind = "watch"
	// WatchOnce reads when the watch fires for the first time, and is deaf from then on: it
	// watches a file whose link the swap replaced.
	WatchOnce PolicyKind = "watch-once"
	// StartUp reads once, as Akka's ConfigSSLEngineProvider does.
	StartUp PolicyKind = "start-up"
)

// Policy decides when to read again. Its methods are pure.
type Policy struct {
	Kind  PolicyKind    `json:"kind"`
	Every time.Duration `json:"every_ns,omitempty"` // the TTL of LazyTTL, the interval of Poll
	// KeepLastGood serves the last good credential when a read fails. Akka does not.
	KeepLastGood bool `json:"keep_last_good,omitempty"`
}

// State is what a policy remembers of the reads so far.
type State struct {
	Tried  bool
	At     time.Duration // of the last read, failed or not
	Failed bool          // the last read failed
	Events int           // watch events acted on
}

// Seen is what happened at the instant of a decision.
type Seen struct {
	Demand  bool // a connection asks for a context
	Changed bool // the watch fired
}

// Due reports whether to read at the instant now.
//
//   - lazy-ttl: on a demand, when there was no read, the last one failed, or it is Every old.
//     Exactly Every old is due; Scala's Deadline.isOverdue turns true one nanosecond later.
//   - poll: when there was no read or the last one, failed or not, is Every old. Demand is ignored.
//   - watch: whenever the watch fires. watch-once: the first time only.
//   - start-up, watch and watch-once: on a demand, until a read succeeded or the watch fired.
func (p Policy) Due(s State, now time.Duration, seen Seen) bool {
	if seen.Changed && p.hears(s) {
		return true
	}
	at, ok := p.Next(s)
	return ok && now >= at && (seen.Demand || p.Kind == Poll)
}

// Next returns the earliest instant from which a demand makes Due true while the watch is silent.
// It is the start of time before the first read, and the instant of the last read, already past,
// after a failure that the next demand retries. It reports false when time alone never suffices.
func (p Policy) Next(s State) (at time.Duration, ok bool) {
	switch {
	case !s.Tried:
		return 0, true
	case p.Kind == Poll:
		return s.At + p.Every, true
	case s.Failed && (p.Kind == LazyTTL || s.Events == 0):
		return s.At, true
	case p.Kind == LazyTTL:
		return s.At + p.Every, true
	}
	return 0, false
}

// hears reports whether an event of the watch reaches the workload.
func (p Policy) hears(s State) bool {
	return p.Kind == Watch || p.Kind == WatchOnce && s.Events == 0
}

// After returns the state after a read at the instant now.
func (s State) After(now time.Duration, seen Seen, err error) State {
	next := State{Tried: true, At: now, Failed: err != nil, Events: s.Events}
	if seen.Changed {
		next.Events++
	}
	return next
}
