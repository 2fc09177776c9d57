//go:build linux && embedded

package embedded_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/clusters"
	"github.com/certquake/certquake/clusters/embedded"
	"github.com/certquake/certquake/clusters/kube"
	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/harnesstest"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

func planned(t *testing.T, name string, speed float64) scenarios.Plan {
	t.Helper()
	scenario, err := scenarios.Open(name, nil)
	require.NoError(t, err)
	plan, err := scenario.Plan(1)
	require.NoError(t, err)
	plan, err = plan.Faster(speed)
	require.NoError(t, err)
	return plan
}

// TestConformance holds the backend against the contract.
func TestConformance(t *testing.T) {
	harnesstest.Conform(t, planned(t, "restart-during-swap", 60),
		func(*testing.T) harness.Backend { return backend() })
}

// TestClusterDies has the API server's process end in the middle of a run: the rows so far are
// kept, with the cause.
func TestClusterDies(t *testing.T) {
	var rows harnesstest.Rows
	killed := false
	err := harness.Run(t.Context(), planned(t, "quick-leaf-rotation", 10), backend(), &rows,
		func(at time.Duration, _ *scenarios.Action) {
			if at > 5*time.Second && !killed {
				killed = true
				require.NoError(t, syscall.Kill(controlPlane(t), syscall.SIGKILL))
			}
		})
	require.ErrorIs(t, err, harness.ErrBroken)
	require.NotEmpty(t, rows)
	last := rows[len(rows)-1]
	assert.Equal(t, record.Lost, last.Kind)
	assert.Contains(t, last.Detail, "the world does not work")
	dials := 0
	for _, row := range rows {
		assert.NotEqual(t, record.End, row.Kind)
		if row.Kind == record.Handshake {
			dials++
		}
	}
	assert.Positive(t, dials, "rows from before")
}

// controlPlane returns the process of the only control plane that this test process began.
func controlPlane(t *testing.T) int {
	t.Helper()
	var found []int
	for _, pid := range descendants(t, os.Getpid()) {
		line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
		if err == nil && strings.Contains(string(line), "\x00up\x00") {
			found = append(found, pid)
		}
	}
	require.Len(t, found, 1)
	return found[0]
}

// descendants returns the processes that a process began, and those that they began.
func descendants(t *testing.T, pid int) []int {
	t.Helper()
	tasks, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task/*/children"))
	require.NoError(t, err)
	var all []int
	for _, task := range tasks {
		data, err := os.ReadFile(task)
		if err != nil {
			continue // it has ended
		}
		for field := range strings.FieldsSeq(string(data)) {
			child, err := strconv.Atoi(field)
			require.NoError(t, err)
			all = append(append(all, child), descendants(t, child)...)
		}
	}
	return all
}

// TestNeverReady has pods of an image that the cluster does not know.
func TestNeverReady(t *testing.T) {
	lost := kube.New(kube.Provider{
		Name: "embedded", Verbs: embedded.Verbs(),
		Up: func(ctx context.Context, plan scenarios.Plan) (*clusters.Target, error) {
			target, err := embedded.Up(ctx, plan.Nodes, embedded.Options{Bin: built})
			if err == nil {
				target.Image = "certquake/unheard-of"
			}
			return target, err
		},
	})
	var rows harnesstest.Rows
	err := harness.Run(t.Context(), planned(t, "quick-leaf-rotation", 10), lost, &rows, nil)
	require.ErrorIs(t, err, harness.ErrBroken)
	require.ErrorContains(t, err, "is not ready")
	require.ErrorContains(t, err, "certquake/unheard-of")
	require.ErrorContains(t, err, "event: ")
	require.Len(t, rows, 1)
	assert.Equal(t, record.Lost, rows[0].Kind)
}
