package bearer

import (
	"io"
	"log"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/internal/process"
	"github.com/certquake/certquake/workloads/keyring"
)

// metrics is what a pod with tokens shows beside what all workloads do. Labels are closed sets, but
// for the ids of the keys in use, of which there is one set at a time.
type metrics struct {
	requests *prometheus.CounterVec // by role and outcome
	duration prometheus.Histogram
	reloads  *prometheus.CounterVec // by outcome
	fetches  *prometheus.CounterVec // by outcome
	ring     *prometheus.GaugeVec   // keyring.MetricInfo
	turn     prometheus.Gauge
}

func newMetrics(common *process.Metrics) *metrics {
	m := &metrics{
		requests: common.Ends("certquake_requests_total",
			"Calls with a token of either role, by how this end saw them."),
		duration: common.Durations("certquake_request_duration_seconds",
			"Successful calls, from when they were due to the answer."),
		reloads: common.Reloads,
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "certquake_fetches_total",
			Help: "Fetches of the JWKS, of changed keys or not.",
		}, []string{"outcome"}),
		ring: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: keyring.MetricInfo, Help: "1 for the keys in use of a mounted Secret.",
		}, []string{keyring.SecretLabel, keyring.PrimaryLabel, keyring.IDsLabel}),
		turn: process.Gauge("certquake_keys_generation",
			"How often the keys in use changed since the process started."),
	}
	common.Registry.MustRegister(m.fetches, m.ring, m.turn)
	for _, outcome := range []record.Outcome{
		record.OK, record.Unreachable, record.Timeout, record.Canceled, record.NoKeys,
	} {
		m.fetches.WithLabelValues(string(outcome))
	}
	return m
}

func (m *metrics) request(role record.Side, outcome record.Outcome) {
	m.requests.WithLabelValues(string(role), string(outcome)).Inc()
}

// inUse shows another ring of a Secret.
func (m *metrics) inUse(ring *keyring.Ring, secret string) {
	m.ring.Reset()
	m.ring.With(ring.MetricLabels(secret)).Set(1)
	m.turn.Inc()
}

// quiet is where a server's own words go: what a caller did is in its rows.
func quiet(to *slog.Logger) *log.Logger {
	if to == nil {
		return log.New(io.Discard, "", 0)
	}
	return slog.NewLogLogger(to.Handler(), slog.LevelDebug)
}
