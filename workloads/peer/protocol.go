// Package peer is the runtime of a mutual-TLS peer in a pod: the code of packages credential and
// handshake, which the simulator runs as well, on real files, sockets and clocks.
//
// Run is the program. Its Config is given once; the harness then speaks to its admin port and reads
// its standard output, one Row a line.
package peer

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"time"

	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/handshake"
	"github.com/certquake/certquake/workloads/internal/process"
)

// Config is everything a pod is told before it starts, as JSON.
type Config struct {
	Pod   string `json:"pod"`   // its name in the plan, the source of its rows
	Mount string `json:"mount"` // folder of the Secret volume
	// State is a folder that outlives the container but not the pod (an emptyDir). It holds what
	// the harness has said, so that a restarted process goes on without being told again.
	State  string `json:"state"`
	Listen string `json:"listen"` // address of the TLS port, such as ":7443"
	Admin  string `json:"admin"`  // address of metrics, health and commands, such as ":7480"

	Policy  credential.Policy   `json:"policy"`
	Read    credential.Settings `json:"read"`
	ReadGap time.Duration       `json:"read_gap_ns,omitempty"` // between the opens of two files
	TLS     handshake.Settings  `json:"tls"`
	// CacheAge is the age that the credential in use pretends to have at offset 0.
	CacheAge time.Duration `json:"cache_age_ns,omitempty"`

	Horizon time.Duration `json:"horizon_ns"` // no attempt is made at or after it
	// Deadline is how long one attempt may take, from its start.
	Deadline     time.Duration `json:"deadline_ns"`
	Streams      []Stream      `json:"streams,omitempty"`
	Associations []Target      `json:"associations,omitempty"` // of which it is the source
	Retry        time.Duration `json:"retry_ns,omitempty"`     // between attempts to associate
}

// What all workloads have in common: their schedules, their rows, and the commands that their admin
// ports take.
type (
	// Stream is open-loop canary dials.
	Stream = process.Stream
	// Target is a pod to connect to.
	Target = process.Target
	// Row is one line of standard output.
	Row = process.Row
	// Begin tells a process when offset 0 is.
	Begin = process.Begin
	// Clock sets the process clock off: verification and metrics see it, schedules do not.
	Clock = process.ClockOrder
	// Restart ends the process for the kubelet to start it again in the same pod.
	Restart = process.Restart
	// Status is what a process says of itself.
	Status = process.Status
	// ConfigError is what is wrong with a config, every problem at once.
	ConfigError = process.ConfigError
)

// FlushEvery is how often successes are written; a killed process loses what it has not flushed.
const FlushEvery = process.FlushEvery

// The paths of the admin port. Commands are POSTs with a JSON body and answer with a Status; all
// may be repeated without harm.
const (
	PathMetrics = process.PathMetrics // GET, for Prometheus
	PathHealth  = process.PathHealth  // GET, 200 while the process runs
	PathReady   = process.PathReady   // GET, 200 while it listens for peers
	PathStatus  = process.PathStatus  // GET, a Status
	PathBegin   = process.PathBegin   // POST a Begin
	PathClock   = process.PathClock   // POST a Clock
	PathRestart = process.PathRestart // POST a Restart; the process ends after the answer
)

// ErrNotRow is wrapped by DecodeRow's error: the line is not one that a workload wrote.
var ErrNotRow = process.ErrNotRow

// DecodeRow decodes one line of a workload's standard output, with or without its end. A log may
// hold lines of others: whatever no workload writes is an error that wraps ErrNotRow.
func DecodeRow(line []byte) (Row, error) { return process.DecodeRow(line) }

// Fingerprint names a certificate in rows: the first 16 hexadecimal digits of its SHA-256.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:8])
}
