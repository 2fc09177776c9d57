package sim

import (
	"crypto/tls"
	"math"
	"math/rand/v2"
	"time"

	"github.com/certquake/certquake/harness/record"
)

// The latency model: round trips over a network of one data centre, plus the CPU time of both ends
// as measured for crypto/tls on one shared 2-core virtual machine, spread log-normally. It gives
// reports a plausible shape; its numbers are labelled modelled wherever they are shown.
const (
	roundTrip     = 500 * time.Microsecond
	latencySigma  = 0.25
	latencyStrata = 64
)

// cpuTime is the CPU time of both ends for one full mutual handshake.
func cpuTime(algorithm keyAlgorithm) time.Duration {
	switch algorithm {
	case p256:
		return 680 * time.Microsecond
	case p384, p521:
		return 3 * time.Millisecond
	case edwards:
		return 540 * time.Microsecond
	case rsa2048:
		return 2520 * time.Microsecond
	case rsa3072:
		return 6500 * time.Microsecond
	case rsa4096:
		return 13850 * time.Microsecond
	case rsa8192:
		return 90 * time.Millisecond
	}
	return time.Millisecond
}

// resumedTime is the CPU time of a resumed handshake, which needs no certificate's key.
const resumedTime = 280 * time.Microsecond

// roundTrips is how many a dial takes: one of TCP, one of TLS 1.3 or two of TLS 1.2, and one of the
// confirming byte.
func (g *group) roundTrips() int {
	if g.tokens != nil {
		return callTrips
	}
	if g.plan.MaxVersion < tls.VersionTLS13 {
		return 4
	}
	return 3
}

// handshakeTime is that of the dials of the class.
func (c *class) handshakeTime() time.Duration {
	if tokens := c.group.tokens; tokens != nil {
		return callTrips*roundTrip + verifyTime(tokens.Algorithm)
	}
	return handshakeTime(c.group, c.content.certs[0].key.algorithm)
}

// handshakeTime is the modelled median from the start of a dial to its confirming byte.
func handshakeTime(g *group, algorithm keyAlgorithm) time.Duration {
	network := time.Duration(g.roundTrips()) * roundTrip
	if g.tls.Resumption {
		return network + resumedTime
	}
	return network + cpuTime(algorithm)
}

// latencyModel holds the quantiles of the log-normal spread, as factors of the median, and the
// histograms made of them: spans of few different counts are many.
type latencyModel struct {
	factors [latencyStrata]float64
	made    map[latencyKey]*record.Histogram
}

type latencyKey struct {
	median, extra time.Duration
	n             int64
}

// latencyMemory bounds how many histograms are kept.
const latencyMemory = 1024

func newLatencyModel() *latencyModel {
	m := latencyModel{made: map[latencyKey]*record.Histogram{}}
	for i := range m.factors {
		q := (float64(i) + 0.5) / latencyStrata
		m.factors[i] = math.Exp(latencySigma * math.Sqrt2 * math.Erfinv(2*q-1))
	}
	return &m
}

// draw returns one latency around the median.
func (m *latencyModel) draw(dice *rand.Rand, median time.Duration) time.Duration {
	return time.Duration(float64(median) * m.factors[dice.IntN(latencyStrata)])
}

// histogram returns n latencies around the median, spread as the model says, and each longer by
// extra. It is shared: it must not be changed.
func (m *latencyModel) histogram(median, extra time.Duration, n int64) *record.Histogram {
	key := latencyKey{median, extra, n}
	if h := m.made[key]; h != nil {
		return h
	}
	h := record.NewHistogram()
	for i, factor := range m.factors {
		low, high := int64(i)*(n/latencyStrata), int64(i+1)*(n/latencyStrata)
		rest := n % latencyStrata
		share := high - low + int64(i+1)*rest/latencyStrata - int64(i)*rest/latencyStrata
		if share > 0 {
			h.Record(time.Duration(float64(median)*factor)+extra, share)
		}
	}
	if len(m.made) >= latencyMemory {
		clear(m.made)
	}
	m.made[key] = h
	return h
}
