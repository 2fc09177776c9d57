package peer

import (
	"crypto/x509"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/internal/process"
)

// metrics is what a peer shows beside what all workloads do. Labels are closed sets, but for the
// fingerprint of the leaf in use, of which there is one at a time.
type metrics struct {
	handshakes   *prometheus.CounterVec // by role and outcome
	duration     prometheus.Histogram
	reloads      *prometheus.CounterVec // by outcome
	leaf         *prometheus.GaugeVec   // by fingerprint, 1 for the one in use
	leafNotAfter prometheus.Gauge
	leafTurn     prometheus.Gauge
	trustTurn    prometheus.Gauge
	associations *prometheus.GaugeVec // by state
}

// The states of the associations that a process is the source of.
const (
	stateUp   = "up"
	stateDown = "down"
)

func newMetrics(common *process.Metrics) *metrics {
	m := &metrics{
		handshakes: common.Ends("certquake_handshakes_total",
			"Attempts of either role, canaries and associations, by how this end saw them."),
		duration: common.Durations("certquake_handshake_duration_seconds",
			"Successful canary dials, from when they were due to the confirming byte."),
		reloads: common.Reloads,
		leaf: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "certquake_leaf_info",
			Help: "1 for the leaf in use, by the first 16 digits of its SHA-256.",
		}, []string{"fingerprint"}),
		leafNotAfter: process.Gauge("certquake_leaf_not_after_timestamp_seconds",
			"When the leaf in use expires."),
		leafTurn: process.Gauge("certquake_leaf_generation",
			"How often the leaf in use changed since the process started."),
		trustTurn: process.Gauge("certquake_trust_generation",
			"How often the trusted CAs in use changed since the process started."),
		associations: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "certquake_associations",
			Help: "Associations that this process is the source of, by state.",
		}, []string{"state"}),
	}
	common.Registry.MustRegister(
		m.leaf, m.leafNotAfter, m.leafTurn, m.trustTurn, m.associations)
	m.associations.WithLabelValues(stateUp)
	m.associations.WithLabelValues(stateDown)
	return m
}

func (m *metrics) handshake(role record.Side, outcome record.Outcome) {
	m.handshakes.WithLabelValues(string(role), string(outcome)).Inc()
}

// inUse shows another leaf.
func (m *metrics) inUse(leaf *x509.Certificate) {
	m.leaf.Reset()
	m.leaf.WithLabelValues(Fingerprint(leaf)).Set(1)
	m.leafNotAfter.Set(float64(leaf.NotAfter.Unix()))
}
