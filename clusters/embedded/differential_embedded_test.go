//go:build linux && embedded

package embedded_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/embedded"
	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/harness/harnesstest"
	"github.com/certquake/certquake/harness/sim"
	"github.com/certquake/certquake/scenarios"
)

// built is where `make embedded` puts the programs.
const built = "../../bin"

var update = flag.Bool("update", false, "write the table into the README")

// backend returns the embedded backend as main wires it.
func backend() *kube.Backend {
	return kube.New(kube.Provider{
		Name: "embedded", Image: embedded.Image, Verbs: embedded.Verbs(), Check: embedded.Check,
		Up: func(ctx context.Context, plan scenarios.Plan) (*clusters.Target, error) {
			return embedded.Up(ctx, plan.Nodes, embedded.Options{Bin: built})
		},
	})
}

// cases returns the scenarios on which the simulator is held against the truth, at speeds that
// leave a kubelet's interval at 2 s or more and a run at about a minute or less.
func cases() []harnesstest.Case {
	return []harnesstest.Case{
		{Scenario: "propagation-law", Law: true},
		{Scenario: "quick-leaf-rotation", Speed: 10},
		{Scenario: "quick-ca-swap-abrupt", Speed: 10},
		{Scenario: "quick-ca-swap-bundle", Speed: 10},
		{Scenario: "ca-swap-bundle-short-hold", Speed: 30},
		{Scenario: "ca-swap-bundle-first-cert", Speed: 30},
		{Scenario: "ca-swap-cross-sign", Speed: 30},
		{Scenario: "ca-swap-together", Speed: 30},
		{Scenario: "restart-during-swap", Speed: 30},
		{Scenario: "sync-held", Speed: 30, Steered: true},
		{Scenario: "quick-set-kubelet", Speed: 10, Steered: true},
		{Scenario: "quick-clock-skew", Speed: 10},
		{Scenario: "secret-delete-recreate", Speed: 30},
		{Scenario: "bundle-truncated", Speed: 30},
		{Scenario: "stale-trust", Speed: 30},
		{Scenario: "torn-pair-java", Speed: 30},
		{Scenario: "torn-pair-go", Speed: 30},
		{Scenario: "watcher-deaf", Speed: 30},
		{Scenario: "hostname-mismatch", Speed: 30},
		{Scenario: "tls13-resumption", Speed: 30},
		{Scenario: "attempts-unaccounted", Speed: 30},
		{Scenario: "quick-issuer-outage", Speed: 10},
		{Scenario: "api-outage-watch", Speed: 2, Steered: true},
		{Scenario: "webhook-outage-short", Speed: 10},
	}
}

// TestDifferential holds the simulator against real Kubernetes.
func TestDifferential(t *testing.T) {
	var mu sync.Mutex
	var compared []harnesstest.Comparison
	t.Run("cases", func(t *testing.T) {
		for _, c := range cases() {
			t.Run(c.Scenario, func(t *testing.T) {
				t.Parallel()
				one := harnesstest.Compare(t, c, sim.New(), backend())
				t.Logf("outcomes: %s", one.Outcomes())
				assert.Empty(t, one.Differences())
				mu.Lock()
				defer mu.Unlock()
				compared = append(compared, one)
			})
		}
	})
	order := func(c harnesstest.Comparison) int { return slices.Index(cases(), c.Case) }
	slices.SortFunc(compared, func(a, b harnesstest.Comparison) int { return order(a) - order(b) })
	table := harnesstest.Table("embedded", compared)
	t.Logf("\n%s", table)
	if *update {
		insert(t, filepath.Join("..", "..", "README.md"), table)
	}
}

// The marks between which the README has the table.
const (
	tableBegin = "<!-- differential table: make truth -->\n"
	tableEnd   = "<!-- end of the table -->\n"
)

// insert puts the table between its marks.
func insert(t *testing.T, path, table string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(data), tableBegin)
	require.True(t, found, "the README has the marks of the table")
	_, after, found := strings.Cut(rest, tableEnd)
	require.True(t, found, "the README has the marks of the table")
	text := before + tableBegin + table + tableEnd + after
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}
