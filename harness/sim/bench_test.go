package sim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/harness/sim"
	"github.com/certquake/certquake/scenarios"
)

// discard counts rows and drops them.
type discard int

func (d *discard) Write(record.Span) error {
	*d++
	return nil
}

// BenchmarkYear is 12 peers, each dialling 10 times a second, with hourly leaf rotation for a
// virtual year.
func BenchmarkYear(b *testing.B) {
	benchmark(b, setup{
		peers: 12, ttl: 5 * time.Minute, horizon: 8760 * time.Hour,
		duration: 2 * time.Hour, renewBefore: time.Hour,
	})
}

// BenchmarkThousandPeers is 1,000 peers with hourly rotation for 30 virtual days, at two rates that
// must cost about the same.
func BenchmarkThousandPeers(b *testing.B) {
	for name, every := range map[string]time.Duration{
		"rate=10": 100 * time.Millisecond, "rate=100": 10 * time.Millisecond,
	} {
		b.Run(name, func(b *testing.B) {
			benchmark(b, setup{
				peers: 1000, ttl: 5 * time.Minute, horizon: 720 * time.Hour,
				duration: 2 * time.Hour, renewBefore: time.Hour, dialEvery: every,
			})
		})
	}
}

// BenchmarkThousandInTrouble is an abrupt CA swap among 1,000 peers: hundreds of thousands of pairs
// break and heal, each at its own time.
func BenchmarkThousandInTrouble(b *testing.B) {
	benchmark(b, setup{
		peers: 1000, ttl: 5 * time.Minute, horizon: 40 * time.Minute,
		actions: []scenarios.Action{abruptSwap(10 * time.Minute)},
	})
}

func benchmark(b *testing.B, s setup) {
	b.Helper()
	run(b, s.plan())
}

func run(b *testing.B, plan scenarios.Plan) {
	b.Helper()
	backend := sim.New() // keeps its keys, as one process running many scenarios does
	b.ReportAllocs()
	for b.Loop() {
		var rows discard
		require.NoError(b, harness.Run(b.Context(), plan, backend, &rows, nil))
		b.ReportMetric(float64(rows), "rows/op")
	}
}

// BenchmarkThousandVerifiers is 1,000 verifiers of the tokens of two issuers, half of them with a
// mounted key ring and half with a JWKS, with daily rotation for 30 virtual days.
func BenchmarkThousandVerifiers(b *testing.B) {
	s := safe()
	s.edit = strings.NewReplacer("replicas: 4", "replicas: 500", "horizon: 1h", "horizon: 720h",
		"spec: {generate", "spec: {every: 24h, generate", "maxAge: 2m", "maxAge: 10m")
	run(b, s.plan(b))
}

// BenchmarkDayOfStores is a virtual day of 3 stores with 100,000 records each, read 50 times a
// second and written 5 times, and a rotation: with a migration, and without one, after which nearly
// every read is of a lost record until a writer comes by.
func BenchmarkDayOfStores(b *testing.B) {
	for name, v := range map[string]vault{"migrated": migrated(), "skipped": skipped()} {
		b.Run(name, func(b *testing.B) {
			v.records, v.reads, v.writes, v.horizon = 100_000, "50/s", "5/s", "24h"
			run(b, v.plan(b))
		})
	}
}
