package rotator

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/certquake/certquake/workloads/rotation"
)

// metrics are of every RotatingSecret. How long ago something was, is time() less its time.
type metrics struct {
	steps                            *prometheus.CounterVec
	phase, halted, late, began, next *prometheus.GaugeVec
}

// newMetrics registers the metrics, or finds them registered.
func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	object := []string{"namespace", "name"}
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{
			Namespace: "certquake", Subsystem: "rotator", Name: name, Help: help,
		}
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(
			prometheus.GaugeOpts(opts(name, help)), append(object[:2:2], labels...))
	}
	m := &metrics{
		steps: prometheus.NewCounterVec(prometheus.CounterOpts(opts("steps_total",
			"Steps of rotations that this process wrote; each rotation has one publish.")),
			append(object[:2:2], "step")),
		phase:  gauge("phase", "1 for the phase that the rotation is in.", "phase"),
		halted: gauge("halted", "1 if somebody has to do something."),
		late:   gauge("late_consumers", "Consumers that the next step waits for."),
		began:  gauge("last_rotation_timestamp_seconds", "When the last rotation began."),
		next:   gauge("next_step_timestamp_seconds", "When time brings the next step, or 0."),
	}
	var err error
	m.steps, err = register(registry, m.steps)
	for _, g := range []**prometheus.GaugeVec{&m.phase, &m.halted, &m.late, &m.began, &m.next} {
		if err == nil {
			*g, err = register(registry, *g)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}

func register[C prometheus.Collector](registry prometheus.Registerer, c C) (C, error) {
	err := registry.Register(c)
	if there, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if same, ok := there.ExistingCollector.(C); ok {
			return same, nil
		}
	}
	return c, err
}

// step counts a step.
func (m *metrics) step(of types.NamespacedName, action rotation.Action) {
	m.steps.WithLabelValues(of.Namespace, of.Name, string(action)).Inc()
}

// show shows what was decided.
func (m *metrics) show(of types.NamespacedName, d rotation.Decision, late int) {
	for _, phase := range []rotation.Phase{
		rotation.Steady, rotation.Published, rotation.Retiring, rotation.Migrating,
	} {
		m.phase.WithLabelValues(of.Namespace, of.Name, string(phase)).
			Set(one(d.Next.Phase == phase))
	}
	m.halted.WithLabelValues(of.Namespace, of.Name).Set(one(d.Action == rotation.Halt))
	m.late.WithLabelValues(of.Namespace, of.Name).Set(float64(late))
	if !d.Next.Rotated.IsZero() {
		m.began.WithLabelValues(of.Namespace, of.Name).Set(float64(d.Next.Rotated.Unix()))
	}
	next := 0.0
	if !d.Until.IsZero() {
		next = float64(d.Until.Unix())
	}
	m.next.WithLabelValues(of.Namespace, of.Name).Set(next)
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// forget removes what is said of a RotatingSecret that is gone.
func (m *metrics) forget(of types.NamespacedName) {
	labels := prometheus.Labels{"namespace": of.Namespace, "name": of.Name}
	m.steps.DeletePartialMatch(labels)
	for _, g := range []*prometheus.GaugeVec{m.phase, m.halted, m.late, m.began, m.next} {
		g.DeletePartialMatch(labels)
	}
}
