// Package record is the flat history of one run: a header and a sequence of spans, one JSON object
// a line. Every backend writes it, every report is computed from it, and it is all that remains of
// a run that crashed.
//
// Write one with NewWriter and read it back with NewReader; a truncated file reads to its last
// whole row. Offsets count from Header.Base, so rows of one run compare without clocks. A span is
// one attempt, or any number of equal attempts in a row: rows grow with changes, not with attempts.
package record

import (
	"time"
)

// Version is the format's version, written in every header.
const Version = 1

// Basis says where latencies come from.
type Basis string

// The bases of a record.
const (
	Measured Basis = "measured" // by a clock, around real work
	Modelled Basis = "modelled" // drawn from a model, labelled so wherever it is shown
)

// Header is the record's first row.
type Header struct {
	Version  int       `json:"version"`
	Scenario string    `json:"scenario"`
	Digest   string    `json:"digest"` // of the plan, "sha256:<hex>"
	Seed     uint64    `json:"seed"`
	Backend  string    `json:"backend"`
	Basis    Basis     `json:"basis"`
	Base     time.Time `json:"base"` // planned for offset 0; a Begin row tells when it really was
	// Settings are the backend's own that the run was given, as arguments of a command line. No
	// secret is among them.
	Settings []string `json:"settings,omitempty"`
}

// Kind says what a span tells of.
type Kind string

// The kinds of rows. Attempts are Handshake, Request, Read, Seal and Associate; the others tell
// what changed.
const (
	// Begin is offset 0 in a backend that runs in wall time, after its world came up: Detail is
	// the instant, as RFC 3339. In virtual time it is Header.Base and there is no such row.
	Begin Kind = "begin"
	// Handshake is a canary dial: a new connection, confirmed by a byte, then closed.
	Handshake Kind = "handshake"
	// Request is a call of Peer by Source with a token, which Peer verifies. The Client's end is
	// the issuer of the token, the Server's its verifier. Own names the key that the token was
	// signed with, Other the keys that the verifier has.
	Request Kind = "request"
	// Fetch is a verifier (Source) fetching the JWKS of an issuer (Peer). Own names the keys, Count
	// is how many fetches there were in a row with the same keys. Detail says why one failed.
	Fetch Kind = "fetch"
	// Read is a pod (Source) opening a record of its own store, and Seal one that it seals anew.
	// On failures Own names the keys that it has and, of a Read, Other.Leaf the one that the record
	// is sealed under. A Seal fails with NoPrimary, of which Detail may say why. A row may go on
	// over rows of other outcomes: a reader comes back to the same records.
	Read Kind = "read"
	Seal Kind = "seal"
	// Migrate is the end of a migration in the store of a pod (Source): Count records were moved as
	// Detail says, "r1 > r2", and the store takes no more under the old key. Own names the keys of
	// the pod. It failed if Outcome says so, and what was left is as it was.
	Migrate Kind = "migrate"
	// Stored is what is in the store of a pod (Source) at the end of the run: Count records under
	// the key Own.Leaf. Outcome is UnknownKid if the pod has no such key, and so cannot read them.
	Stored Kind = "stored"
	// Associate is an attempt to establish a long-lived association.
	Associate Kind = "associate"
	// Drop is an established association that ended.
	Drop Kind = "drop"
	// Write is a new content of a Secret (Source) seen at the API. Leaf and Trust name it.
	Write Kind = "write"
	// Reload is a pod's process (Source) taking new file content into use, or failing to.
	// From is when the Secret was written, Projected when the kubelet swapped the files, To
	// when the process took it into use.
	Reload Kind = "reload"
	// Project is a kubelet swapping a pod's files, written only when the content was replaced,
	// or the run ended, before the pod's process read it. From is when the Secret was written.
	Project Kind = "project"
	// Issue is an issuance by cert-manager: Source the Certificate, Outcome OK, or NoCredential
	// while its issuer is out of order.
	Issue Kind = "issue"
	// Act is an action of the plan accepted by the backend. Action names it. Its Outcome is Skipped
	// when it was left out on purpose instead; Detail says why.
	Act Kind = "act"
	// Proof is the observation that an action took effect. Action names it.
	Proof Kind = "proof"
	// Up and Down are a pod's process starting and ending. A Down span lasts as long as the pod
	// is down; Action names what took it down, if an action did.
	Up   Kind = "up"
	Down Kind = "down"
	// Clock is a pod's process clock being set off by Skew from then on.
	Clock Kind = "clock"
	// NodeClock is a comparison of the clock of a cluster's node (Source, its name in the cluster)
	// with the harness's: the node's was ahead by Skew, give or take Uncertainty. A node has one at
	// offset 0, or when its first pod began to run, and one at the end of the run. The times that
	// its pods tell are already corrected by Correction of the first. Outcome is Unreachable when
	// no pod of the node told its clock; Detail says what the row rests on, or why it says nothing.
	NodeClock Kind = "node-clock"
	// Unlike is a planned node (Source) that stands for others than planned, as on a cluster whose
	// kubelets have settings of their own. Detail says in what they differ.
	Unlike Kind = "unlike"
	// Placed is a pod (Source) that the cluster put on the node Detail, one of its own, where the
	// plan's nodes are not those of the cluster. It is told once, as the pod first runs.
	Placed Kind = "placed"
	// Lost is a stretch of which a backend knows that rows are missing; Detail says why. Without
	// an extent, it is the reason why the run ended before its horizon.
	Lost Kind = "lost"
	// End is the last row of a complete run; To is the horizon reached.
	End Kind = "end"
)

// Side names the end of a connection that decided a failure.
type Side string

// The sides of a connection.
const (
	Client Side = "client" // the source of the span
	Server Side = "server" // the peer of the span
)

// Generation names what an end held: its leaf and the CAs it trusts, by names that are stable
// within a run, such as "my-service-tls/3" and "root/1+root/2". Torn marks a key of another leaf.
// Of a key ring, Leaf is the primary and Trust all keys, such as "jwt/r2" and "jwt/r1+jwt/r2".
type Generation struct {
	Leaf  string `json:"leaf,omitempty"`
	Trust string `json:"trust,omitempty"` // "+"-joined, in file order
	Chain string `json:"chain,omitempty"` // the CA that issued the leaf
	Torn  bool   `json:"torn,omitempty"`
}

// Span is one row.
type Span struct {
	Kind    Kind          `json:"kind"`
	From    time.Duration `json:"from_ns"`
	To      time.Duration `json:"to_ns"` // of the last attempt; equal to From for one attempt
	Source  string        `json:"source,omitempty"`
	Peer    string        `json:"peer,omitempty"` // empty on a span of successes with all peers
	Outcome Outcome       `json:"outcome,omitempty"`
	Count   int64         `json:"count,omitempty"` // attempts in the span; 0 on rows that are none
	Side    Side          `json:"side,omitempty"`  // the end that decided a failure

	Projected time.Duration `json:"projected_ns,omitempty"`
	Skew      time.Duration `json:"skew_ns,omitempty"`
	// Uncertainty bounds the error of Skew on NodeClock.
	Uncertainty time.Duration `json:"uncertainty_ns,omitempty"`

	// Own is what the source held, Other what the peer held: on failures, and Own alone on Write,
	// Reload, Project and Issue.
	Own   *Generation `json:"own,omitempty"`
	Other *Generation `json:"other,omitempty"`

	// NotBefore and NotAfter bound the validity of a leaf, as offsets, on Write and Reload.
	NotBefore time.Duration `json:"not_before_ns,omitempty"`
	NotAfter  time.Duration `json:"not_after_ns,omitempty"`

	Latency *Histogram `json:"latency,omitempty"`
	Action  string     `json:"action,omitempty"`
	Detail  string     `json:"detail,omitempty"`
}

// Correction returns by how much the times of a node's pods are corrected on account of the span, a
// NodeClock: by its Skew where that exceeds its Uncertainty, else by nothing.
func (s *Span) Correction() time.Duration {
	if s.Kind != NodeClock || s.Skew.Abs() <= s.Uncertainty {
		return 0
	}
	return s.Skew
}

// Sink takes spans in the order in which they ended or were closed. A Sink that fails keeps
// failing: the error is returned by every later call.
type Sink interface {
	Write(span Span) error
}

// Tee returns a Sink that hands every span to each of the sinks in turn, until one fails.
func Tee(sinks ...Sink) Sink { return tee(sinks) }

type tee []Sink

func (t tee) Write(span Span) error {
	for _, sink := range t {
		if err := sink.Write(span); err != nil {
			return err
		}
	}
	return nil
}
