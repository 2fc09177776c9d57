package reports

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// scene is a small run that tests change in one respect: two pods, p-0 and p-1, dial each other
// once a second for ten minutes; their Secret is written anew at 2m and both use it within 20 s.
// The bound is 1.5 * 10 s sync + 10 s poll + 1.3 s kubelet ticks = 26.3 s.
type scene struct {
	plan scenarios.Plan
	rows []record.Span
}

func newScene() *scene {
	s := &scene{plan: scenarios.Plan{
		Scenario: "small", Seed: 1, Horizon: 10 * time.Minute,
		Nodes: []scenarios.PlannedNode{{
			Name: "n", SyncFrequency: 10 * time.Second, ChangeDetection: scenarios.Watch,
		}},
		Peers: []scenarios.PeerGroup{{
			Consumer: scenarios.Consumer{
				Workload: "p", Secret: "default/s", Policy: "poll", Every: 10 * time.Second,
			},
			Associations: "none", Retry: time.Second,
		}},
		Pods: []scenarios.Pod{
			{Name: "p-0", Workload: "p", Node: "n"}, {Name: "p-1", Workload: "p", Node: "n"},
		},
		Streams: []scenarios.Stream{
			{Source: "p-0", To: []string{"p"}, Every: time.Second},
			{Source: "p-1", To: []string{"p"}, Every: time.Second},
		},
		Actions: []scenarios.Action{{ID: "rotateLeaf[0]/reissue", At: 2 * time.Minute}},
	}}
	s.write(0, gen("s/1", "root/1"))
	s.use("p-0", 0, 0, gen("s/1", "root/1"))
	s.use("p-1", 0, 0, gen("s/1", "root/1"))
	s.prove("rotateLeaf[0]/reissue", 2*time.Minute)
	s.write(2*time.Minute, gen("s/2", "root/1"))
	s.use("p-0", 2*time.Minute, 2*time.Minute+10*time.Second, gen("s/2", "root/1"))
	s.use("p-1", 2*time.Minute, 2*time.Minute+20*time.Second, gen("s/2", "root/1"))
	s.ok("p-0", 600)
	s.ok("p-1", 600)
	return s
}

// gen is a generation trusting the CA its leaf was issued by.
func gen(leaf, authority string) *record.Generation {
	return &record.Generation{Leaf: leaf, Trust: authority, Chain: authority}
}

func (s *scene) add(span record.Span) { s.rows = append(s.rows, span) }

func (s *scene) write(at time.Duration, own *record.Generation) {
	s.add(record.Span{Kind: record.Write, From: at, To: at, Source: "default/s", Own: own})
}

func (s *scene) use(pod string, written, at time.Duration, own *record.Generation) {
	s.add(record.Span{
		Kind: record.Reload, From: written, To: at, Source: pod, Outcome: record.OK, Own: own,
	})
}

func (s *scene) prove(action string, at time.Duration) {
	s.add(record.Span{Kind: record.Proof, From: at, To: at, Action: action})
}

func (s *scene) ok(source string, count int64) {
	s.add(record.Span{
		Kind: record.Handshake, To: s.plan.Horizon - time.Second, Source: source,
		Outcome: record.OK, Count: count,
	})
}

// fail takes n successes of the source and makes them failures from the offset on, one a second.
func (s *scene) fail(
	source, peer string, at time.Duration, n int64, outcome record.Outcome,
	own, other *record.Generation,
) {
	for i := range s.rows {
		if row := &s.rows[i]; row.Outcome == record.OK && row.Source == source && row.Count > n {
			row.Count -= n
		}
	}
	s.add(record.Span{
		Kind: record.Handshake, From: at, To: at + time.Duration(n-1)*time.Second, Count: n,
		Source: source, Peer: peer, Outcome: outcome, Side: record.Client, Own: own, Other: other,
	})
}

func (s *scene) associate(at time.Duration, n int64, outcome record.Outcome) {
	s.add(record.Span{
		Kind: record.Associate, From: at, To: at + time.Duration(n-1)*time.Second, Count: n,
		Source: "p-0", Peer: "p-1", Outcome: outcome, Side: record.Client,
	})
}

func (s *scene) drop(at time.Duration) {
	s.add(record.Span{Kind: record.Drop, From: at, To: at, Source: "p-0", Peer: "p-1"})
}

// without removes the rows that match.
func (s *scene) without(matches func(record.Span) bool) {
	s.rows = slices.DeleteFunc(s.rows, matches)
}

// analyse ends the record and analyses it; cut short, the record has no end row.
func (s *scene) analyse(t *testing.T, cut bool) *Analysis {
	t.Helper()
	return s.analyseAs(t, headerOf(s.plan), cut)
}

func (s *scene) analyseAs(t *testing.T, header record.Header, cut bool) *Analysis {
	t.Helper()
	rows := slices.Clone(s.rows)
	slices.SortStableFunc(rows, func(a, b record.Span) int { return cmp.Compare(a.To, b.To) })
	if !cut {
		end := record.Span{Kind: record.End, From: s.plan.Horizon, To: s.plan.Horizon}
		rows = append(rows, end)
	}
	a, err := Analyze(s.plan, header, rowsOf(rows))
	require.NoError(t, err)
	return a
}

func (s *scene) judge(t *testing.T) *Report {
	t.Helper()
	r, err := Judge(s.analyse(t, false))
	require.NoError(t, err)
	return r
}
