package cli_test

import (
	"io"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/cli"
	"github.com/certquake/certquake/harness/sim"
)

// BenchmarkYear is the whole command for 12 peers, 10 dials a second each and hourly leaf rotation
// over a virtual year: parse, plan, run, record to disk, judge and render. Use -cpu 1 for one core.
func BenchmarkYear(b *testing.B) {
	out := filepath.Join(b.TempDir(), "run")
	for b.Loop() {
		code := cli.Main(b.Context(), cli.Env{
			Args:  []string{"run", "testdata/year.yaml", "--quiet", "--out", out},
			Stdin: nil, Stdout: io.Discard, Stderr: io.Discard,
			Backends: []cli.Backend{sim.New()}, Version: "bench",
		})
		require.Equal(b, cli.ExitOK, code)
	}
}
