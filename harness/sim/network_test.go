package sim_test

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// disturb returns the actions that do the trouble to the pods from one offset to another.
func disturb(
	from, to time.Duration, trouble scenarios.NetworkTrouble, pods ...string,
) []scenarios.Action {
	begin := act("disturb", 0, from, scenarios.DisturbNetwork)
	begin.Pods, begin.Network = pods, &trouble
	end := act("restore", 0, to, scenarios.RestoreNetwork)
	end.Pods = pods
	return []scenarios.Action{begin, end}
}

// pair is an ordered pair of pods.
type pair struct{ source, peer string }

// failed counts the new connections that ended with the outcome, by pair.
func (r rows) failed(outcome record.Outcome) map[pair]int64 {
	out := map[pair]int64{}
	for _, row := range r {
		if row.Kind == record.Handshake && row.Outcome == outcome {
			out[pair{row.Source, row.Peer}] += row.Count
		}
	}
	return out
}

// crossing counts the dials due in [from, to) between the pods named and others, one by one.
func crossing(plan scenarios.Plan, from, to time.Duration, named ...string) map[pair]int64 {
	var pods []string
	for _, p := range plan.Pods {
		pods = append(pods, p.Name)
	}
	out := map[pair]int64{}
	for _, s := range plan.Streams {
		targets := slices.DeleteFunc(slices.Clone(pods), func(p string) bool {
			return p == s.Source
		})
		for k := 0; ; k++ {
			at := s.Phase + time.Duration(k)*s.Every
			if at >= to {
				break
			}
			target := targets[(s.First+k)%len(targets)]
			if at >= from && slices.Contains(named, s.Source) != slices.Contains(named, target) {
				out[pair{s.Source, target}]++
			}
		}
	}
	return out
}

// A cut of half of the pods has exactly those attempts time out that cross it and whose last
// packet, 4 s after the first, finds it still there. Those who send one later come through, later.
func TestMetamorphicCut(t *testing.T) {
	const from, to = 10 * time.Minute, 11*time.Minute + 300*time.Millisecond
	half := []string{"peers-0", "peers-1", "peers-4"}
	for seed := range seeds(3) {
		plan := setup{
			peers: 6, horizon: 20 * time.Minute, seed: seed, dialEvery: 70 * time.Millisecond,
			actions: disturb(from, to, scenarios.NetworkTrouble{Cut: true}, half...),
		}.plan()
		plan.Peers[0].Associations = "none"
		got := perform(t, plan)
		assert.Equal(t, crossing(plan, from, to-4*time.Second, half...),
			got.failed(record.Timeout), "seed %d", seed)
		for outcome := range got.attempts() {
			assert.Contains(t, []record.Outcome{record.OK, record.Timeout}, outcome)
		}
		late := crossing(plan, to-4*time.Second, to, half...)
		assert.Equal(t, late, countsOf(got.failed(record.OK)).but(""), "rows of their own")
		for _, row := range got {
			if row.Outcome != record.OK || row.Peer == "" || row.Kind != record.Handshake {
				continue
			}
			waits := row.Latency.Quantile(1)
			assert.Greater(t, waits, time.Second)
			assert.Less(t, waits, 4100*time.Millisecond)
		}
		for _, proof := range got.proofs("disturb") {
			assert.Equal(t, "all packets to and from other pods are dropped", proof)
		}
		assert.Len(t, got.proofs("disturb"), 3)
		assert.Len(t, got.proofs("restore"), 3)
	}
}

// but leaves out the rows that are of no peer.
func (m countsOf) but(peer string) map[pair]int64 {
	out := map[pair]int64{}
	for p, n := range m {
		if p.peer != peer {
			out[p] = n
		}
	}
	return out
}

type countsOf map[pair]int64

// A trouble of nothing changes nothing.
func TestMetamorphicNoTrouble(t *testing.T) {
	s := setup{peers: 4, horizon: 20 * time.Minute, actions: []scenarios.Action{
		abruptSwap(10 * time.Minute),
	}}
	calm := perform(t, s.plan())
	nothing := disturb(9*time.Minute, 12*time.Minute, scenarios.NetworkTrouble{}, "peers-1")
	s.actions = []scenarios.Action{nothing[0], s.actions[0], nothing[1]}
	for i := range s.actions {
		s.actions[i].Fault = i
	}
	got := slices.DeleteFunc(perform(t, s.plan()), func(row record.Span) bool {
		return row.Action == "disturb" || row.Action == "restore"
	})
	assert.Equal(t, calm, got)
}

// lossLaw is the share of dials over TLS 1.3 that are not in time when packets are lost with the
// probability: by the sum over how often each of the three round trips is lost.
func lossLaw(loss float64) float64 {
	q := 1 - (1-loss)*(1-loss)
	const resend = 0.2005
	late := 1.0
	for connect := range 6 {
		for hello := range 6 {
			for confirm := range 6 {
				p := math.Pow(q, float64(connect+hello+confirm)) * (1 - q) * (1 - q) * (1 - q)
				waits := float64(connect) + resend*(math.Exp2(float64(hello))-1) +
					resend*(math.Exp2(float64(confirm))-1)
				if waits < 4.998 {
					late -= p
				}
			}
		}
	}
	return late
}

// The more is lost the more attempts are late, as many as the law has it, and those in time take
// longer.
func TestMetamorphicLoss(t *testing.T) {
	const from, to = 10 * time.Minute, 30 * time.Minute
	last, slow := map[pair]int64{}, time.Duration(0)
	for _, loss := range []float64{0.01, 0.1, 0.3, 0.6, 0.9} {
		plan := setup{
			peers: 4, horizon: 40 * time.Minute, dialEvery: 20 * time.Millisecond,
			actions: disturb(from, to, scenarios.NetworkTrouble{Loss: loss}, "peers-1"),
		}.plan()
		plan.Peers[0].Associations = "none"
		got := perform(t, plan)
		lost := got.failed(record.Timeout)
		var n, due float64
		latency := record.NewHistogram()
		for p, crossed := range crossing(plan, from, to, "peers-1") {
			assert.GreaterOrEqual(t, lost[p], last[p], "loss %v: %s", loss, p)
			n, due = n+float64(lost[p]), due+float64(crossed)
		}
		for _, row := range got {
			if row.Kind == record.Handshake && row.Outcome == record.OK && row.Peer != "" {
				latency.Merge(row.Latency)
			}
		}
		assert.InDelta(t, due, n+float64(latency.Count()), 0, "loss %v: each counts once", loss)
		law := lossLaw(loss)
		assert.InDelta(t, law, n/due, 4*math.Sqrt(law*(1-law)/due)+1e-6, "loss %v", loss)
		if loss < 0.9 {
			assert.Greater(t, latency.Mean(), slow, "loss %v", loss)
		}
		last, slow = lost, latency.Mean()
	}
}

// A delay is added to each of the three round trips of a dial over TLS 1.3, four of TLS 1.2, once
// for each end that has one. With more than the deadline in all, every attempt times out.
func TestDelay(t *testing.T) {
	for _, c := range []struct {
		delay time.Duration
		tls12 bool
		want  time.Duration
	}{
		{200 * time.Millisecond, false, 602 * time.Millisecond},
		{200 * time.Millisecond, true, 803 * time.Millisecond},
		{1200 * time.Millisecond, false, 3602 * time.Millisecond},
		{1300 * time.Millisecond, true, 0},
		{2 * time.Second, false, 0},
	} {
		t.Run(fmt.Sprint(c.delay, c.tls12), func(t *testing.T) {
			const from, to = time.Minute, 2 * time.Minute
			plan := setup{
				peers: 3, horizon: 3 * time.Minute,
				actions: disturb(from, to, scenarios.NetworkTrouble{Delay: c.delay}, "peers-2"),
			}.plan()
			if c.tls12 {
				plan.Peers[0].MaxVersion = plan.Peers[0].MinVersion
			}
			got := perform(t, plan)
			crossed := crossing(plan, from, to, "peers-2")
			if c.want == 0 {
				assert.Equal(t, crossed, got.failed(record.Timeout))
				return
			}
			assert.Empty(t, got.failed(record.Timeout))
			assert.Equal(t, crossed, countsOf(got.failed(record.OK)).but(""))
			for _, row := range got {
				if row.Kind == record.Handshake && row.Peer != "" {
					assert.InEpsilon(t, c.want.Seconds(), row.Latency.Quantile(0.5).Seconds(), 0.01)
				}
			}
		})
	}
	var both []scenarios.Action
	for _, pod := range []string{"peers-0", "peers-1"} {
		slow := scenarios.NetworkTrouble{Delay: time.Second}
		both = append(both, disturb(time.Minute, 2*time.Minute, slow, pod)...)
	}
	for i := range both {
		both[i].Fault, both[i].ID = i, strconv.Itoa(i)
	}
	slices.SortStableFunc(both, func(a, b scenarios.Action) int { return int(a.At - b.At) })
	plan := setup{peers: 3, horizon: 3 * time.Minute, actions: both}.plan()
	for p := range perform(t, plan).failed(record.Timeout) {
		assert.NotEqual(t, "peers-2", p.source)
		assert.NotEqual(t, "peers-2", p.peer, "only where both ends delay is it too long")
	}
}

// ends returns when associations ended and when they came back, by pair.
func (r rows) ends(after time.Duration) (ended, back map[pair]time.Duration) {
	ended, back = map[pair]time.Duration{}, map[pair]time.Duration{}
	for _, row := range r {
		switch {
		case row.Kind == record.Drop:
			ended[pair{row.Source, row.Peer}] = row.From
		case row.Kind == record.Associate && row.Outcome == record.OK && row.From > after:
			back[pair{row.Source, row.Peer}] = row.From
		}
	}
	return ended, back
}

// Keep-alives end an association 3 to 4 s after its network was cut, not before. The attempt that
// is under way at the end of the cut comes through within a second.
func TestCutEndsAssociations(t *testing.T) {
	const from = 5 * time.Minute
	for _, c := range []struct {
		lasts time.Duration
		ends  bool
	}{{2 * time.Second, false}, {time.Minute, true}} {
		for seed := range seeds(5) {
			plan := setup{
				peers: 4, horizon: 10 * time.Minute, seed: seed, dialEvery: -1,
				actions: disturb(from, from+c.lasts, scenarios.NetworkTrouble{Cut: true},
					"peers-1", "peers-2"),
			}.plan()
			got := perform(t, plan)
			ended, back := got.ends(from)
			if !c.ends {
				assert.Empty(t, ended)
				continue
			}
			require.Len(t, ended, 2, "seed %d", seed)
			for _, p := range []pair{{"peers-0", "peers-1"}, {"peers-2", "peers-3"}} {
				after := ended[p] - from
				assert.GreaterOrEqual(t, after, 3*time.Second, "seed %d", seed)
				assert.LessOrEqual(t, after, 4*time.Second, "seed %d", seed)
				again := back[p] - from - c.lasts
				assert.GreaterOrEqual(t, again, time.Duration(0), "seed %d", seed)
				assert.LessOrEqual(t, again, 2*time.Second, "seed %d", seed)
			}
			for _, row := range got {
				if row.Kind == record.Associate && row.Outcome == record.Timeout {
					assert.InDelta(t, (c.lasts-8*time.Second).Seconds()/6, row.Count, 1)
					assert.Equal(t, time.Duration(row.Count-1)*6*time.Second, row.To-row.From)
				}
			}
		}
	}
}

// With retries further apart than a connection's packets, an attempt that is not under way any more
// when the network is restored is made anew at its time.
func TestCutAssociationWaitsForItsRetry(t *testing.T) {
	const from = 5 * time.Minute
	through, anew := 0, 0
	for seed := range seeds(20) {
		to := 6*time.Minute + time.Duration(seed%9)*time.Second
		plan := setup{
			peers: 3, horizon: 10 * time.Minute, seed: seed, dialEvery: -1,
			actions: disturb(from, to, scenarios.NetworkTrouble{Cut: true}, "peers-1"),
		}.plan()
		plan.Peers[0].Retry = 9 * time.Second
		ended, back := perform(t, plan).ends(from)
		require.Len(t, back, 2)
		for p, at := range ended {
			begun := to - (to-at)%(9*time.Second) // the last attempt before the end
			want := begun + (to - begun + time.Second - 1).Truncate(time.Second)
			if want-begun > 4*time.Second {
				want = begun + 9*time.Second
				anew++
			} else {
				through++
			}
			assert.Equal(t, want, back[p], "seed %d", seed)
		}
	}
	assert.Positive(t, through)
	assert.Positive(t, anew)
}

// The trouble is the pod's: a process that starts meanwhile has it still, and loses it with it.
func TestTroubleOutlivesProcess(t *testing.T) {
	const from, to = 2 * time.Minute, 4 * time.Minute
	actions := disturb(from, to, scenarios.NetworkTrouble{Cut: true}, "peers-1")
	restart := act("restart", 1, 3*time.Minute, scenarios.RestartPods)
	restart.Pods, restart.Mode, restart.Downtime = []string{"peers-1"}, "pod", 5*time.Second
	plan := setup{
		peers: 3, horizon: 6 * time.Minute,
		actions: []scenarios.Action{actions[0], restart, actions[1]},
	}.plan()
	got := perform(t, plan)
	want := crossing(plan, from, to-4*time.Second, "peers-1")
	down := crossing(plan, 3*time.Minute, 3*time.Minute+5*time.Second, "peers-1")
	for p, n := range got.failed(record.Timeout) {
		if p.source == "peers-1" {
			n += down[p] // skipped
		}
		assert.Equal(t, want[p], n, "%s", p)
	}
	assert.Zero(t, got.attempts()[record.Unreachable], "nobody answers for it")
}

// A server that reads its files when it is dialled is not dialled while it is cut off.
func TestCutKeepsDemandAway(t *testing.T) {
	const to = 8 * time.Minute
	actions := disturb(2*time.Minute, to, scenarios.NetworkTrouble{Cut: true}, "peers-1")
	rotate := rotateLeaf(3 * time.Minute)
	rotate.Fault = 1
	plan := setup{
		peers: 2, horizon: 10 * time.Minute, ttl: time.Second, sync: 10 * time.Second,
		actions: []scenarios.Action{actions[0], rotate, actions[1]},
	}.plan()
	plan.Peers[0].Associations = "none"
	plan.Streams = plan.Streams[:1]
	got := perform(t, plan).reloads("leaf/2")["peers-1"]
	assert.GreaterOrEqual(t, got, to)
	assert.LessOrEqual(t, got, to+100*time.Millisecond, "the first dial after it")
}

// Kubelets are not cut off with their pods, nor is the reload that a pod's own dials ask for.
func TestCutLeavesKubeletAlone(t *testing.T) {
	actions := disturb(2*time.Minute, 8*time.Minute, scenarios.NetworkTrouble{Cut: true}, "peers-1")
	rotate := rotateLeaf(3 * time.Minute)
	rotate.Fault = 1
	s := setup{
		peers: 3, horizon: 10 * time.Minute, ttl: time.Second, sync: 10 * time.Second,
		actions: []scenarios.Action{actions[0], rotate, actions[1]},
	}
	got := perform(t, s.plan()).reloads("leaf/2")
	require.Len(t, got, 3)
	for pod, at := range got {
		assert.Less(t, at, 3*time.Minute+20*time.Second, pod)
	}
}
