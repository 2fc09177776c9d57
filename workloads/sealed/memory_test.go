package sealed_test

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/sealed"
)

func metric(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// live returns the bytes of what is in use.
func live() uint64 {
	runtime.GC()
	return metric("/gc/heap/live:bytes")
}

// Ten times the records need no more memory. It is not parallel: the heap is everybody's.
func TestMemoryDoesNotGrowWithRecords(t *testing.T) {
	growth := func(n int) uint64 {
		store := newStore(t)
		store.Hurry()
		fill(t, store, ringOf(t, "r1*"), n)
		before, most := live(), uint64(0)
		report, err := sealed.Migrate(t.Context(), store, fixed(ringOf(t, "r1", "r2*")), "r1",
			sealed.Options{After: func(_ context.Context, so sealed.Report) error {
				if so.Batches%10 == 0 {
					most = max(most, live())
				}
				return nil
			}})
		require.NoError(t, err)
		require.EqualValues(t, n, report.Migrated)
		require.Equal(t, n/sealed.DefaultBatch, report.Batches)
		return most - min(most, before)
	}
	small, large := growth(10_000), growth(100_000)
	t.Logf("heap grew by %d B with 10,000 records and by %d B with 100,000", small, large)
	assert.Less(t, large, 3*small+4<<20)
}

// sampler is a source of randomness that looks at the heap now and then, within batches.
type sampler struct {
	reads int
	most  uint64
}

func (s *sampler) Read(p []byte) (int, error) {
	if s.reads++; s.reads%200 == 0 {
		s.most = max(s.most, metric("/memory/classes/heap/objects:bytes"))
	}
	return rand.Read(p)
}

// BenchmarkMigrate migrates b.N records, each batch to the disk: -benchtime 1000000x for a million.
// The heap is all that is on it, garbage too, at its most; x-file is by how much the file grew.
func BenchmarkMigrate(b *testing.B) {
	path := filepath.Join(b.TempDir(), "store")
	store, err := sealed.OpenStore(path)
	require.NoError(b, err)
	store.Hurry()
	fill(b, store, ringOf(b, "r1*"), b.N)
	require.NoError(b, store.Close())
	before := sizeOf(b, path)
	store = openStore(b, path)
	ring, heap := ringOf(b, "r1", "r2*"), &sampler{}
	runtime.GC()
	b.ResetTimer()
	report, err := sealed.Migrate(context.Background(), store, fixed(ring), "r1",
		sealed.Options{Random: heap})
	b.StopTimer()
	require.NoError(b, err)
	require.EqualValues(b, b.N, report.Migrated)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(heap.most)/(1<<20), "MiB-heap")
	b.ReportMetric(sizeOf(b, path)/before, "x-file")
}

func sizeOf(b *testing.B, path string) float64 {
	b.Helper()
	info, err := os.Stat(path)
	require.NoError(b, err)
	return float64(info.Size())
}
