package process

import (
	"time"

	"github.com/certquake/certquake/harness/record"
)

// FlushEvery is how often successes are written; a killed process loses what it has not flushed.
const FlushEvery = time.Second

// Stream is open-loop attempts: attempt k is due at Phase + k*Every from offset 0 and goes to
// Targets[(First+k) mod len(Targets)].
type Stream struct {
	Targets []Target      `json:"targets"`
	Every   time.Duration `json:"every_ns"`
	Phase   time.Duration `json:"phase_ns"`
	First   int           `json:"first"`
}

// Target is a pod to connect to.
type Target struct {
	Pod     string `json:"pod"`     // its name in the plan, the peer of rows
	Address string `json:"address"` // host:port; the host is looked up for every attempt
	// ServerName is for SNI and hostname verification, of peers.
	ServerName string `json:"server_name"`
}

// Row is one line of standard output. A peer's generations name certificates by Fingerprint; the
// harness, which sees Secrets being written, knows their names. Keys with ids have names already.
// Span.From of a Reload or Project row is equal to Projected: only the harness knows when the
// Secret was written. After the horizon, when every attempt due before it has its row, a process
// writes a row of kind record.End and stays idle.
type Row struct {
	Boot string `json:"boot"` // names the process: a restarted one has another
	Seq  uint64 `json:"seq"`  // 1, 2, 3 and so on within a Boot: a gap is a lost row

	Span record.Span `json:"span"`
	// Role is which end speaks: Client is the span's source, Server its peer. A server's row of a
	// failed connection has no Source, since it does not know whom it refused: Via tells. Rows that
	// are not attempts have no Role.
	Role record.Side `json:"role,omitempty"`
	// Via is the client's address of a failed attempt's connection, by which the rows of both ends
	// are joined; empty when there was no connection, or the client's row tells all.
	Via string `json:"via,omitempty"`
	// Decided is handshake.Result.Decided: this end rejected the attempt.
	Decided bool `json:"decided,omitempty"`
	// Alerted is set when this end was told by an alert that the other rejected it.
	Alerted bool `json:"alerted,omitempty"`
	// Due is, on an Up row, the index of the first attempt of each stream that the process makes.
	Due []int64 `json:"due,omitempty"`
}

// The paths of the admin port. Commands are POSTs with a JSON body and answer with a Status; all
// may be repeated without harm.
const (
	PathMetrics = "/metrics" // GET, for Prometheus
	PathHealth  = "/healthz" // GET, 200 while the process runs
	PathReady   = "/readyz"  // GET, 200 while it listens for others
	PathStatus  = "/status"  // GET, a Status
	PathBegin   = "/begin"   // POST a Begin
	PathClock   = "/clock"   // POST a ClockOrder
	PathRestart = "/restart" // POST a Restart; the process ends after the answer
)

// Begin tells a process when offset 0 is. Attempts begin then, or at once when it is past.
type Begin struct {
	Base time.Time `json:"base"`
	// Fresh is set for the processes that run at offset 0: they pretend to have run for long.
	Fresh bool          `json:"fresh,omitempty"`
	Skew  time.Duration `json:"skew_ns,omitempty"`
}

// ClockOrder sets the process clock off by Skew: what judges certificates and tokens sees it,
// schedules do not.
type ClockOrder struct {
	Skew time.Duration `json:"skew_ns"`
}

// Restart ends the process for the kubelet to start it again in the same pod.
type Restart struct {
	// Boot names the process that is meant: another one, such as its successor when a command is
	// repeated since its answer was lost, does nothing. Empty means any.
	Boot string `json:"boot,omitempty"`
	// Kill ends it without a further row or a closed connection, as SIGKILL would. The container's
	// first process cannot send itself that signal.
	Kill bool `json:"kill,omitempty"`
	// Down is how long the next process stays down, from the end of this one. It then neither
	// listens nor dials.
	Down time.Duration `json:"down_ns,omitempty"`
}

// Status is what a process says of itself.
type Status struct {
	Boot  string        `json:"boot"`
	Begun bool          `json:"begun"`
	Base  time.Time     `json:"base,omitzero"`
	Ready bool          `json:"ready"`
	Skew  time.Duration `json:"skew_ns"`
	Rows  uint64        `json:"rows"` // written so far: the Seq of the last one
	// Now is the clock of the pod's node as this was said, without Skew. The clocks of nodes are
	// compared by it.
	Now time.Time `json:"now,omitzero"`
}
