package keyring_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/internal/disk"
	"github.com/certquake/certquake/workloads/keyring"
)

// BenchmarkRead re-reads ten keys from a disk in the kubelet's layout.
func BenchmarkRead(b *testing.B) {
	symmetric, pairs, certificates := map[string]string{}, map[string]string{}, map[string]string{}
	for i := range 10 {
		id, mark := "r"+strconv.Itoa(i), ""
		if i == 3 {
			mark = ".primary"
		}
		key := ecKey(b)
		symmetric[id+".key"+mark] = secret
		pairs[id+".private"+mark] = privatePEM(b, key)
		pairs[id+".public"] = publicPEM(b, key)
		certificates[id+".crt"+mark] = certPEM(b, key)
	}
	for name, mounted := range map[string]struct {
		files map[string]string
		parts []keyring.Part
	}{
		"symmetric": {files: symmetric}, "ec-pairs": {pairs, pair},
		"certificates": {certificates, triple[2:]},
	} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			require.NoError(b, disk.Project(dir, "1", bytesOf(mounted.files)))
			for b.Loop() {
				_, err := keyring.Read(os.DirFS(dir), keyring.Settings{Parts: mounted.parts})
				require.NoError(b, err)
			}
		})
	}
}

// BenchmarkRing asks for the ring while nothing is due, with the system's clock.
func BenchmarkRing(b *testing.B) {
	keys := keyring.New(mount(phases[1]), keyring.Settings{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if ring, err := keys.Ring(); err != nil || ring.Primary().ID != "r1" {
				b.Error(err)
			}
		}
	})
}

// TestHotPathDoesNotAllocate asks for the ring and a key of it.
func TestHotPathDoesNotAllocate(t *testing.T) {
	keys := keyring.New(mount(phases[1]), keyring.Settings{})
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		ring, err := keys.Ring()
		if err != nil {
			t.Fatal(err)
		}
		if key, ok := ring.Key("r2"); !ok || key.ID == ring.Primary().ID {
			t.Fatal(key)
		}
	}))
}
