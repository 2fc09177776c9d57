package reports

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// hourly is the plan and the record of pods whose Secret is written every hour.
func hourly(pods, hours int) (scenarios.Plan, []record.Span) {
	plan := scenarios.Plan{
		Scenario: "hourly", Horizon: time.Duration(hours) * time.Hour,
		Nodes: []scenarios.PlannedNode{{Name: "n", SyncFrequency: time.Minute}},
		Peers: []scenarios.PeerGroup{{
			Consumer: scenarios.Consumer{
				Workload: "p", Secret: "default/s", Policy: "lazy-ttl", Every: 5 * time.Minute,
			},
		}},
	}
	for i := range pods {
		name := fmt.Sprint("p-", i)
		plan.Pods = append(plan.Pods, scenarios.Pod{Name: name, Workload: "p", Node: "n"})
		plan.Streams = append(plan.Streams, scenarios.Stream{
			Source: name, To: []string{"p"}, Every: 100 * time.Millisecond,
		})
	}
	dice := scenarios.Rand(1, "bench")
	var rows []record.Span
	for hour := range hours {
		at := time.Duration(hour) * time.Hour
		own := gen(fmt.Sprint("s/", hour), "root/1")
		plan.Actions = append(plan.Actions, scenarios.Action{ID: fmt.Sprint("r/", hour), At: at})
		rows = append(rows,
			record.Span{Kind: record.Write, From: at, To: at, Source: "default/s", Own: own},
			record.Span{Kind: record.Proof, From: at, To: at, Action: fmt.Sprint("r/", hour)})
		for _, pod := range plan.Pods {
			took := time.Duration(dice.Int64N(int64(390 * time.Second)))
			rows = append(rows, record.Span{
				Kind: record.Reload, From: at, Projected: at + took/3, To: at + took,
				Source: pod.Name, Outcome: record.OK, Own: own, NotAfter: at + 2*time.Hour,
			})
		}
	}
	for _, stream := range plan.Streams {
		rows = append(rows, record.Span{
			Kind: record.Handshake, To: plan.Horizon, Source: stream.Source, Outcome: record.OK,
			Count: plan.Attempts(stream, plan.Horizon),
		})
	}
	slices.SortStableFunc(rows, func(a, b record.Span) int { return cmp.Compare(a.To, b.To) })
	return plan, append(rows, record.Span{Kind: record.End, From: plan.Horizon, To: plan.Horizon})
}

// shapes are about 210,000 reload rows each: a dozen pods for two years, a thousand for nine days.
var shapes = []struct{ pods, hours int }{{12, 17520}, {1000, 210}}

func BenchmarkAnalyze(b *testing.B) {
	for _, shape := range shapes {
		b.Run(fmt.Sprint(shape.pods, "-pods"), func(b *testing.B) {
			plan, rows := hourly(shape.pods, shape.hours)
			b.ReportAllocs()
			for b.Loop() {
				a, err := Analyze(plan, headerOf(plan), rowsOf(rows))
				require.NoError(b, err)
				_, err = Judge(a)
				require.NoError(b, err)
			}
		})
	}
}

func BenchmarkRender(b *testing.B) {
	for _, shape := range shapes {
		b.Run(fmt.Sprint(shape.pods, "-pods"), func(b *testing.B) {
			plan, rows := hourly(shape.pods, shape.hours)
			a, err := Analyze(plan, headerOf(plan), rowsOf(rows))
			require.NoError(b, err)
			r, err := Judge(a)
			require.NoError(b, err)
			for b.Loop() {
				require.NoError(b, Render(b.TempDir(), a, r))
			}
		})
	}
}
