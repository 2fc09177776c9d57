package scenarios_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/certquake/certquake/scenarios"
)

func planOf(t *testing.T, scenario string, seed uint64) scenarios.Plan {
	t.Helper()
	s, err := parse(scenario, testdata(t, "pki.yaml"), nil)
	require.NoError(t, err)
	plan, err := s.Plan(seed)
	require.NoError(t, err)
	return plan
}

func TestPlanGolden(t *testing.T) {
	t.Parallel()
	plan := planOf(t, testdata(t, "base.yaml"), 7)
	data, err := plan.JSON()
	require.NoError(t, err)
	golden(t, "plan.golden.json", string(data))
	var table bytes.Buffer
	require.NoError(t, plan.Table(&table))
	golden(t, "plan.golden.txt", table.String())
	assert.Regexp(t, `^sha256:[0-9a-f]{64}$`, plan.Digest())
}

// A plan is a function of scenario and seed alone.
func TestPlanDeterminism(t *testing.T) {
	t.Parallel()
	for _, name := range scenarios.Names() {
		first, err := scenarios.Open(name, nil)
		require.NoError(t, err)
		second, err := scenarios.Open(name, nil)
		require.NoError(t, err)
		a, err := first.Plan(3)
		require.NoError(t, err)
		b, err := second.Plan(3)
		require.NoError(t, err)
		assert.Equal(t, a.Digest(), b.Digest(), name)
		c, err := first.Plan(4)
		require.NoError(t, err)
		assert.NotEqual(t, a.Digest(), c.Digest(), name)
	}
}

// Another peer, and another workload, leave the dice of the others as they are.
func TestStreamIndependence(t *testing.T) {
	t.Parallel()
	base := testdata(t, "base.yaml")
	before := planOf(t, base, 5)
	more := strings.Replace(base, "replicas: 2\n", "replicas: 3\n", 1)
	more = strings.Replace(more, "  workloads:\n", "  workloads:\n"+
		"    - {name: first, tlsPeers: {replicas: 5, secret: leaf}}\n", 1)
	more = strings.Replace(more, "  load:\n", "  load:\n"+
		"    - {workload: first, newConnections: {rate: 1/s}}\n", 1)
	// The loads have moved by one, so their streams are compared by a scenario that moves them too.
	moved := strings.Replace(base, "  load:\n", "  load:\n"+
		"    - {workload: go, newConnections: {rate: 1/s}}\n", 1)
	after, compared := planOf(t, more, 5), planOf(t, moved, 5)
	assert.Subset(t, after.Pods, before.Pods)
	assert.Subset(t, after.Streams, compared.Streams[2:])
	assert.Equal(t, before.Actions, after.Actions)
}

func TestPlanDefaults(t *testing.T) {
	t.Parallel()
	scenario, err := scenarios.Open("leaf-rotation", nil)
	require.NoError(t, err)
	plan, err := scenario.Plan(1)
	require.NoError(t, err)
	group := plan.Peers[0]
	assert.Equal(t, "default/my-service-akka-tls-certificate", group.Secret)
	assert.Equal(t, "lazy-ttl", group.Policy)
	assert.Equal(t, 5*time.Minute, group.Every)
	assert.Equal(t, "first-cert", group.Trust)
	assert.Equal(t, "none", group.PairCheck)
	assert.Equal(t, "leaf-and-ca", group.Chain)
	assert.Equal(t, []uint16{0xc030}, group.CipherSuites)
	assert.Equal(t, "pass", plan.Expect.Verdict)
	assert.Equal(t, "2026-01-01T00:00:00Z", plan.Start.Format(time.RFC3339))
	assert.Equal(t, 481300*time.Millisecond, plan.Bound())
}

func TestBound(t *testing.T) {
	t.Parallel()
	plan := planOf(t, testdata(t, "base.yaml"), 1)
	// 1.5 x 60s, 30s of cache, 5m of context and the ticks; for go: 20s instead of 5m.
	assert.Equal(t, 421300*time.Millisecond, plan.BoundOf("akka"))
	assert.Equal(t, 141300*time.Millisecond, plan.BoundOf("go"))
	assert.Equal(t, plan.BoundOf("akka"), plan.Bound())
	assert.Zero(t, plan.BoundOf("nobody"))
	slower := strings.Replace(testdata(t, "base.yaml"), "holdSync: {node: slow, for: 1m}",
		"setKubelet: {node: slow-1, kubelet: {syncFrequency: 2m}}", 1)
	assert.Equal(t, 481300*time.Millisecond, planOf(t, slower, 1).BoundOf("akka"))
}

// The steps of each strategy, with their times.
func TestSwapSteps(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"abrupt": "10m0s switch reissue",
		"bundle": "10m0s new-ca reissue, 10m0s add-trust publish-trust, " +
			"16m40s switch-leaves reissue, 23m20s drop-trust publish-trust",
		"together": "10m0s new-ca reissue, 10m0s hold-trust publish-trust, " +
			"10m0s switch-leaves reissue, 16m40s drop-trust publish-trust",
		"cross-sign": "10m0s new-ca reissue, 10m0s hold-trust publish-trust, " +
			"10m0s switch-leaves reissue, 16m40s drop-trust publish-trust",
	}
	for strategy, steps := range want {
		scenario := strings.Replace(testdata(t, "base.yaml"), "strategy: bundle",
			"strategy: "+strategy, 1)
		var got []string
		for _, action := range planOf(t, scenario, 1).Actions {
			step, ok := strings.CutPrefix(action.ID, "swapCA[1]/")
			if !ok {
				continue
			}
			got = append(got, action.At.String()+" "+step+" "+string(action.Verb))
			assert.Equal(t, strategy == "cross-sign" && step == "hold-trust", action.CrossSign)
			assert.Equal(t, step == "add-trust" || step == "hold-trust", action.Hold)
			assert.Equal(t, step == "hold-trust", action.NextWrite)
		}
		assert.Equal(t, steps, strings.Join(got, ", "), strategy)
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	plan := planOf(t, testdata(t, "base.yaml"), 1)
	assert.Equal(t, []string{"akka-1", "akka-2"}, plan.Targets(plan.Streams[0]))
	assert.Equal(t, []string{"akka-0", "akka-1", "akka-2"}, plan.Targets(plan.Streams[3]))
}

// The closed form of Attempts equals counting.
func TestAttempts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		stream := scenarios.Stream{Every: time.Duration(rapid.IntRange(1, 50).Draw(t, "every"))}
		stream.Phase = time.Duration(rapid.IntRange(0, int(stream.Every)-1).Draw(t, "phase"))
		until := time.Duration(rapid.IntRange(0, 1000).Draw(t, "until"))
		var want int64
		for at := stream.Phase; at < until; at += stream.Every {
			want++
		}
		assert.Equal(t, want, scenarios.Plan{}.Attempts(stream, until))
	})
}

// The first resyncs follow the closed form of the residual: mean 0.6333 s, at most 1.5 s.
func TestSyncDueLaw(t *testing.T) {
	t.Parallel()
	base := strings.Replace(testdata(t, "base.yaml"), "replicas: 2", "replicas: 10000", 1)
	base = strings.Replace(base, "{name: fast, kubelet: {syncFrequency: 10s}}", "{name: fast}", 1)
	plan := planOf(t, base, 11)
	var sum, late float64
	const s = 60.0
	for _, pod := range plan.Pods {
		due := pod.SyncDue.Seconds()
		require.Less(t, due, 1.5*s)
		sum += due
		if due > s {
			late++
		}
	}
	n := float64(len(plan.Pods))
	assert.InEpsilon(t, 0.63333*s, sum/n, 0.02, "seed 11")
	assert.InDelta(t, 0.25/1.25, late/n, 0.02, "seed 11")
}

// A scenario changed in code is checked again.
func TestPlanOfUnsoundScenario(t *testing.T) {
	t.Parallel()
	s, err := parse(testdata(t, "base.yaml"), testdata(t, "pki.yaml"), nil)
	require.NoError(t, err)
	s.Spec.Faults[0].RotateLeaf.Certificate = "gone"
	s.Spec.Horizon = scenarios.Duration(2 * time.Minute)
	_, err = s.Plan(1)
	require.ErrorAs(t, err, new(scenarios.Problems))
	require.ErrorContains(t, err, "faults[0].at: 5m is not before the horizon (2m)")
	require.ErrorContains(t, err, "there is no Certificate default/gone")
}

func TestFaultKinds(t *testing.T) {
	t.Parallel()
	kinds := scenarios.FaultKinds()
	assert.Len(t, kinds, 18)
	for _, kind := range kinds {
		assert.NotEmpty(t, kind.Summary, kind.Name)
		assert.Contains(t, kind.Doc, "Proof: ", kind.Name)
	}
	assert.Equal(t, "rotateLeaf", kinds[0].Name)
	assert.Equal(t, "has cert-manager issue Certificates anew at once, as `cmctl renew` does",
		kinds[0].Summary)
}

// An outage is one action, or two: its return is planned only when it has one.
func TestOutageSteps(t *testing.T) {
	t.Parallel()
	steps := func(fault string) (got []string) {
		scenario := strings.Replace(testdata(t, "base.yaml"), "holdSync: {node: slow, for: 1m}",
			fault, 1)
		for _, action := range planOf(t, scenario, 1).Actions {
			if action.Fault == 3 {
				got = append(got, action.At.String()+" "+action.ID+" "+string(action.Verb))
			}
		}
		return got
	}
	assert.Equal(t, []string{
		"40m0s apiOutage[3]/stop stop-api", "40m30s apiOutage[3]/start start-api",
	}, steps("apiOutage: {for: 30s}"))
	assert.Equal(t, []string{"40m0s apiOutage[3]/stop stop-api"}, steps("apiOutage: {}"))
	assert.Equal(t, []string{
		"40m0s webhookOutage[3]/stop stop-webhook", "41m0s webhookOutage[3]/start start-webhook",
	}, steps("webhookOutage: {for: 60s}"))
	assert.Equal(t, []string{"40m0s webhookOutage[3]/stop stop-webhook"},
		steps("webhookOutage: {}"))
	assert.Equal(t, []string{
		"40m0s stopNode[3]/stop-slow-0 stop-node", "40m0s stopNode[3]/stop-slow-1 stop-node",
		"40m20s stopNode[3]/start-slow-0 start-node", "40m20s stopNode[3]/start-slow-1 start-node",
	}, steps("stopNode: {node: slow, for: 20s}"))
	assert.Equal(t, []string{
		"40m0s disturbNetwork[3]/disturb disturb-network",
		"40m10s disturbNetwork[3]/restore restore-network",
	}, steps("disturbNetwork: {workload: go, pods: 1, cut: true, for: 10s}"))
	assert.Equal(t, []string{"40m0s disturbNetwork[3]/disturb disturb-network"},
		steps("disturbNetwork: {workload: go, pods: 1, delay: 1s}"))
}

// A disturbance says what is done to whom, and its end is found by it.
func TestDisturbance(t *testing.T) {
	t.Parallel()
	scenario := strings.Replace(testdata(t, "base.yaml"), "holdSync: {node: slow, for: 1m}",
		"disturbNetwork: {workload: akka, podNames: [akka-2, akka-0], delay: 20ms, loss: 0.5%, "+
			"for: 1m}, repeat: {every: 2m, times: 2}", 1)
	plan := planOf(t, scenario, 1)
	var got []scenarios.Action
	for _, action := range plan.Actions {
		if action.Fault == 3 {
			got = append(got, action)
		}
	}
	require.Len(t, got, 4)
	pods := []string{"akka-2", "akka-0"}
	assert.Equal(t, scenarios.Action{
		ID: "disturbNetwork[3]#1/disturb", Fault: 3, At: 40 * time.Minute,
		Verb: scenarios.DisturbNetwork, Pods: pods,
		Network: &scenarios.NetworkTrouble{Delay: 20 * time.Millisecond, Loss: 0.005},
		Note: "delay packets by 20ms and lose 0.5% of packets between akka-2, akka-0 and " +
			"other pods",
	}, got[0])
	assert.Equal(t, "restore the network of akka-2, akka-0", got[1].Note)
	for i, want := range []time.Duration{41 * time.Minute, 0, 43 * time.Minute, 0} {
		end, ends := plan.EndOf(got[i])
		assert.Equal(t, want, end.At)
		assert.Equal(t, want > 0, ends)
	}
}

func TestPercentage(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{
		"5%": 0.05, "0.5%": 0.005, "0%": 0, "100%": 1, "33.3%": 0.333, "12.5%": 0.125,
	} {
		var p scenarios.Percentage
		require.NoError(t, p.UnmarshalText([]byte(text)), text)
		assert.InDelta(t, want, float64(p), 1e-15, text)
		assert.Equal(t, text, p.String())
	}
	for _, text := range []string{"5", "5 %", "%", "five%", "-1%", "101%", "NaN%", "Inf%", ""} {
		var p scenarios.Percentage
		assert.Error(t, p.UnmarshalText([]byte(text)), text)
	}
}
