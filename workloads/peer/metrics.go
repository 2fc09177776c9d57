package peer

import (
	"crypto/x509"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/certquake/certquake/harness/record"
)

// metrics is what a process shows at PathMetrics. Labels are closed sets, but for the fingerprint
// of the leaf in use, of which there is one at a time.
type metrics struct {
	registry     *prometheus.Registry
	handshakes   *prometheus.CounterVec // by role and outcome; skipped attempts are none
	duration     prometheus.Histogram
	reloads      *prometheus.CounterVec // by outcome
	leaf         *prometheus.GaugeVec   // by fingerprint, 1 for the one in use
	leafNotAfter prometheus.Gauge
	leafTurn     prometheus.Gauge
	trustTurn    prometheus.Gauge
	associations *prometheus.GaugeVec // by state
	skew         prometheus.Gauge
	underWay     prometheus.Gauge
	rowsDropped  prometheus.Counter
}

// The states of the associations that a process is the source of.
const (
	stateUp   = "up"
	stateDown = "down"
)

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		handshakes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "certquake_handshakes_total",
			Help: "Attempts of either role, canaries and associations, by how this end saw them.",
		}, []string{"role", "outcome"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "certquake_handshake_duration_seconds",
			Help:    "Successful canary dials, from when they were due to the confirming byte.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "certquake_reloads_total",
			Help: "Reads of the credential's files, of changed content or not.",
		}, []string{"outcome"}),
		leaf: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "certquake_leaf_info",
			Help: "1 for the leaf in use, by the first 16 digits of its SHA-256.",
		}, []string{"fingerprint"}),
		leafNotAfter: gauge("certquake_leaf_not_after_timestamp_seconds",
			"When the leaf in use expires."),
		leafTurn: gauge("certquake_leaf_generation",
			"How often the leaf in use changed since the process started."),
		trustTurn: gauge("certquake_trust_generation",
			"How often the trusted CAs in use changed since the process started."),
		associations: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "certquake_associations",
			Help: "Associations that this process is the source of, by state.",
		}, []string{"state"}),
		skew: gauge("certquake_clock_skew_seconds",
			"How far the process clock was set off; certificates are judged by it."),
		underWay: gauge("certquake_attempts_in_flight", "Canary dials under way."),
		rowsDropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "certquake_rows_dropped_total",
			Help: "Rows that were dropped because standard output was stuck.",
		}),
	}
	m.register()
	return m
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

// register makes every series of the closed sets exist from the start, at 0.
func (m *metrics) register() {
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.handshakes, m.duration, m.reloads, m.leaf, m.leafNotAfter, m.leafTurn, m.trustTurn,
		m.associations, m.skew, m.underWay, m.rowsDropped,
	)
	for _, outcome := range record.Outcomes() {
		if outcome == record.Skipped {
			continue
		}
		m.handshakes.WithLabelValues(string(record.Client), string(outcome))
		m.handshakes.WithLabelValues(string(record.Server), string(outcome))
	}
	m.reloads.WithLabelValues(string(record.OK))
	m.reloads.WithLabelValues(string(record.NoCredential))
	m.associations.WithLabelValues(stateUp)
	m.associations.WithLabelValues(stateDown)
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

func (m *metrics) setSkew(skew time.Duration) { m.skew.Set(skew.Seconds()) }
