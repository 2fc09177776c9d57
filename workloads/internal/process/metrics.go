package process

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/certquake/certquake/harness/record"
)

// Metrics is what every process shows at PathMetrics. A role registers its own in Registry. Labels
// are closed sets.
type Metrics struct {
	Registry *prometheus.Registry
	// Reloads counts reads of the mounted files, by outcome.
	Reloads *prometheus.CounterVec

	skew        prometheus.Gauge
	underWay    prometheus.Gauge
	rowsDropped prometheus.Counter
}

func newMetrics() *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		Reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "certquake_reloads_total",
			Help: "Reads of the credential's files, of changed content or not.",
		}, []string{"outcome"}),
		skew: Gauge("certquake_clock_skew_seconds",
			"How far the process clock was set off; certificates and tokens are judged by it."),
		underWay: Gauge("certquake_attempts_in_flight", "Canary dials or calls under way."),
		rowsDropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "certquake_rows_dropped_total",
			Help: "Rows that were dropped because standard output was stuck.",
		}),
	}
	m.Registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.Reloads, m.skew, m.underWay, m.rowsDropped,
	)
	m.Reloads.WithLabelValues(string(record.OK))
	m.Reloads.WithLabelValues(string(record.NoCredential))
	return m
}

// Gauge returns a gauge without labels.
func Gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

// Ends counts attempts by the role that a process had in them and by outcome. Every series of the
// closed sets exists from the start, at 0; skipped attempts are none.
func (m *Metrics) Ends(name, help string) *prometheus.CounterVec {
	ends := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help},
		[]string{"role", "outcome"})
	m.Registry.MustRegister(ends)
	for _, outcome := range record.Outcomes() {
		if outcome == record.Skipped {
			continue
		}
		ends.WithLabelValues(string(record.Client), string(outcome))
		ends.WithLabelValues(string(record.Server), string(outcome))
	}
	return ends
}

// Durations are of successful attempts.
func (m *Metrics) Durations(name, help string) prometheus.Histogram {
	durations := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
	})
	m.Registry.MustRegister(durations)
	return durations
}

func (m *Metrics) setSkew(skew time.Duration) { m.skew.Set(skew.Seconds()) }
