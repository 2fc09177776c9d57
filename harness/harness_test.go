package harness_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/harnesstest"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// brittle is a backend, and its world, of which each step fails with the error that is set.
type brittle struct {
	open, sleep, do error
	closed          int
}

func (b *brittle) Check(scenarios.Plan) error { return nil }

func (b *brittle) Open(
	context.Context, scenarios.Plan, record.Sink,
) (harness.World, error) {
	if b.open != nil {
		return nil, b.open
	}
	return b, nil
}

func (b *brittle) Sleep(context.Context, time.Duration) error { return b.sleep }
func (b *brittle) Do(context.Context, scenarios.Action) error { return b.do }

func (b *brittle) Close(context.Context) error {
	b.closed++
	return nil
}

// A world that breaks leaves the reason in the record, and is closed.
func TestRunBroken(t *testing.T) {
	broke := fmt.Errorf("%w: the kubelet ended", harness.ErrBroken)
	other := errors.New("other")
	plan := scenarios.Plan{Horizon: time.Minute, Actions: []scenarios.Action{{ID: "a"}}}
	for _, row := range []struct {
		name   string
		world  brittle
		closed int
		want   error
		rows   []record.Kind
	}{
		{"nothing", brittle{}, 1, nil, []record.Kind{record.End}},
		{"as it opens", brittle{open: broke}, 0, harness.ErrBroken, []record.Kind{record.Lost}},
		{"in a sleep", brittle{sleep: broke}, 1, harness.ErrBroken, []record.Kind{record.Lost}},
		{"in an action", brittle{do: broke}, 1, harness.ErrBroken, []record.Kind{record.Lost}},
		{"another error", brittle{sleep: other}, 1, other, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			var rows harnesstest.Rows
			err := harness.Run(t.Context(), plan, &row.world, &rows, nil)
			require.ErrorIs(t, err, row.want)
			assert.Equal(t, row.closed, row.world.closed)
			var kinds []record.Kind
			for _, r := range rows {
				kinds = append(kinds, r.Kind)
				if r.Kind == record.Lost {
					assert.Contains(t, r.Detail, "the kubelet ended")
				}
			}
			assert.Equal(t, row.rows, kinds)
		})
	}
}

func TestAssociates(t *testing.T) {
	pods := []string{"a", "b", "c"}
	for _, row := range []struct {
		kind string
		pods []string
		want [][]string
	}{
		{"ring", pods, [][]string{{"b"}, {"c"}, {"a"}}},
		{"ring", pods[:2], [][]string{{"b"}, nil}},
		{"ring", pods[:1], [][]string{nil}},
		{"mesh", pods, [][]string{{"b", "c"}, {"c"}, {}}},
		{"none", pods, [][]string{nil, nil, nil}},
	} {
		for i, want := range row.want {
			group := scenarios.PeerGroup{Associations: row.kind}
			assert.Equal(t, want, harness.Associates(group, row.pods, i), "%s %d", row.kind, i)
		}
	}
}

func TestSay(t *testing.T) {
	var said []string
	ctx := harness.WithTalk(t.Context(), func(line string) { said = append(said, line) })
	harness.Say(ctx, "%d of %d", 1, 2)
	harness.Say(t.Context(), "to nobody")
	assert.Equal(t, []string{"1 of 2"}, said)
}
