package scenarios_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/certquake/certquake/scenarios"
)

// hurried is a scenario with every duration that a scenario can have.
const hurried = `
apiVersion: certquake.dev/v1alpha1
kind: Scenario
metadata: {name: hurried}
spec:
  why: Every duration there is.
  nodes:
    - {name: fast, kubelet: {syncFrequency: 20s}}
    - {name: slow, count: 2, kubelet: {changeDetection: Cache, cacheTTL: 30s}}
  manifests: [mesh-pki.yaml]
  workloads:
    - {name: akka, akkaPeers: {replicas: 2, secret: mesh-leaf, contextCacheTTL: 3m}}
    - name: go
      tlsPeers:
        replicas: 3
        secret: mesh-leaf
        read: file-by-file
        readGap: 40ms
        reload: {policy: poll, every: 50s}
  load:
    - {workload: akka, newConnections: {rate: 10/s}}
    - {workload: go, newConnections: {rate: 6/m}}
  faults:
    - {at: 5m, rotateLeaf: {certificate: mesh-leaf}, repeat: {every: 2m, times: 2}}
    - {at: 10m, swapCA: {certificate: mesh-ca, strategy: bundle, hold: 400s}}
    - {at: 30m, restart: {workload: go, podNames: [go-1], downtime: 10s}}
    - {at: 31m, setKubelet: {node: fast, kubelet: {syncFrequency: 10s, changeDetection: Cache}}}
    - {at: 32m, skewClock: {workload: go, podNames: [go-0], by: -2m, for: 1m}}
    - {at: 34m, skewClock: {workload: go, podNames: [go-0], by: 3m}}
    - {at: 35m, issuerOutage: {for: 1m}}
    - {at: 37m, apiOutage: {for: 30s}}
    - {at: 38m, webhookOutage: {for: 40s}}
    - {at: 39m, disturbNetwork: {workload: go, pods: 1, delay: 50ms, loss: 2%, for: 8s}}
    - {at: 41m, disturbNetwork: {workload: go, pods: 1, cut: true}}
    - {at: 42m, stopNode: {node: slow-0}}
  horizon: 1h
  expect:
    settle: {within: 10m, after: 40m}
    propagation: {within: 7m}
    staleTrust: {within: 8m}
    conditions:
      - {name: quiet, that: balance.failed == 0}
`

// hurry plans hurried after edits: old and new text in turn.
func hurry(t *testing.T, edits ...string) scenarios.Plan {
	t.Helper()
	for i := 0; i < len(edits); i += 2 {
		require.Contains(t, hurried, edits[i])
	}
	text := strings.NewReplacer(edits...).Replace(hurried)
	s, err := scenarios.Parse("hurried.yaml", []byte(text), scenarios.Library(), nil)
	require.NoError(t, err)
	plan, err := s.Plan(4)
	require.NoError(t, err)
	return plan
}

func TestFasterScales(t *testing.T) {
	t.Parallel()
	plan := hurry(t, "cut: true", "cut: true, for: 100s", "slow-0}", "slow-0, for: 2m}")
	fast, err := plan.Faster(10)
	require.NoError(t, err)
	assert.InDelta(t, 10, fast.Speed, 0)
	action := func(p scenarios.Plan, id string) scenarios.Action {
		for _, a := range p.Actions {
			if a.ID == id {
				return a
			}
		}
		t.Fatalf("no action %s", id)
		return scenarios.Action{}
	}
	kubelet := action(fast, "setKubelet[3]/configure-fast")
	type D = time.Duration
	const millisecond = time.Millisecond
	for _, c := range []struct {
		what      string
		got, want time.Duration
	}{
		{"horizon", fast.Horizon, 6 * time.Minute},
		{"syncFrequency", fast.Nodes[0].SyncFrequency, 2 * time.Second},
		{"default syncFrequency", fast.Nodes[2].SyncFrequency, 6 * time.Second},
		{"cacheTTL", fast.Nodes[1].CacheTTL, 3 * time.Second},
		{"contextCacheTTL", fast.Peers[0].Every, 18 * time.Second},
		{"poll", fast.Peers[1].Every, 5 * time.Second},
		{"readGap", fast.Peers[1].ReadGap, 4 * time.Millisecond},
		{"retry", fast.Peers[0].Retry, 100 * time.Millisecond},
		{"at", action(fast, "rotateLeaf[0]#1/reissue").At, 30 * time.Second},
		{"repeat", action(fast, "rotateLeaf[0]#2/reissue").At, 42 * time.Second},
		{"hold", action(fast, "swapCA[1]/switch-leaves").At, 100 * time.Second},
		{"two holds", action(fast, "swapCA[1]/drop-trust").At, 140 * time.Second},
		{"downtime", action(fast, "restart[2]/restart").Downtime, time.Second},
		{"new syncFrequency", kubelet.Kubelet.SyncFrequency, time.Second},
		{"new cacheTTL", kubelet.Kubelet.CacheTTL, 6 * time.Second},
		{"clock behind", action(fast, "skewClock[4]/skew").Skew, -12 * time.Second},
		{"clock set right", action(fast, "skewClock[4]/correct").Skew, 0},
		{"clock ahead", action(fast, "skewClock[5]/skew").Skew, 3 * time.Minute},
		{"issuer back", action(fast, "issuerOutage[6]/start").At, 216 * time.Second},
		{"API back", action(fast, "apiOutage[7]/start").At, 225 * time.Second},
		{"webhook back", action(fast, "webhookOutage[8]/start").At, 232 * time.Second},
		{"network whole", action(fast, "disturbNetwork[10]/restore").At, 256 * time.Second},
		{"delay", action(fast, "disturbNetwork[9]/disturb").Network.Delay, 50 * millisecond},
		{"packets arrive", action(fast, "disturbNetwork[9]/restore").At, 234800 * millisecond},
		{"node back", action(fast, "stopNode[11]/start-slow-0").At, 264 * time.Second},
		{"settle.within", D(fast.Expect.Settle.Within), time.Minute},
		{"settle.after", D(fast.Expect.Settle.After), 4 * time.Minute},
		{"propagation", D(fast.Expect.Propagation.Within), 42 * time.Second},
		{"staleTrust", D(fast.Expect.StaleTrust.Within), 48 * time.Second},
	} {
		assert.Equal(t, c.want, c.got, c.what)
	}
	for i, pod := range plan.Pods {
		assert.InDelta(t, pod.SyncDue.Seconds()/10, fast.Pods[i].SyncDue.Seconds(), 1e-9)
		assert.InDelta(t, pod.CacheAge.Seconds()/10, fast.Pods[i].CacheAge.Seconds(), 1e-9)
	}
	assert.Equal(t, "restart the kubelet of fast with syncFrequency 1s and Cache", kubelet.Note)
	assert.Equal(t, "set the clocks of go-0 off by -12s", action(fast, "skewClock[4]/skew").Note)
}

// What a faster plan leaves alone, and the plan that it is made of.
func TestFasterKeeps(t *testing.T) {
	t.Parallel()
	plan := hurry(t)
	before := plan.Digest()
	fast, err := plan.Faster(7.5)
	require.NoError(t, err)
	assert.Equal(t, plan.Streams, fast.Streams)
	assert.Equal(t, plan.World, fast.World)
	assert.Equal(t, plan.Start, fast.Start)
	assert.Equal(t, plan.Seed, fast.Seed)
	assert.Equal(t, plan.Expect.Conditions, fast.Expect.Conditions)
	assert.Equal(t, before, plan.Digest(), "the plan itself is not changed")
	assert.NotEqual(t, before, fast.Digest())

	same, err := plan.Faster(1)
	require.NoError(t, err)
	assert.Equal(t, before, same.Digest(), "speed 1 is the plan as written")
	data, err := same.JSON()
	require.NoError(t, err)
	assert.NotContains(t, string(data), `"speed"`)
	data, err = fast.JSON()
	require.NoError(t, err)
	assert.Contains(t, string(data), "\n  \"speed\": 7.5,\n")
}

func TestFasterTableNamesTheSpeed(t *testing.T) {
	t.Parallel()
	plan := hurry(t)
	fast, err := plan.Faster(2.5)
	require.NoError(t, err)
	var slowly, quickly bytes.Buffer
	require.NoError(t, plan.Table(&slowly))
	require.NoError(t, fast.Table(&quickly))
	assert.NotContains(t, slowly.String(), "SPEED")
	assert.Contains(t, quickly.String(), "SPEED     2.5 times as fast as written\n")
}

func TestFasterRetry(t *testing.T) {
	t.Parallel()
	plan := hurry(t, "cacheTTL: 30s", "cacheTTL: 60s")
	for n, want := range map[float64]time.Duration{
		2: 500 * time.Millisecond, 8: 125 * time.Millisecond, 10: 100 * time.Millisecond,
	} {
		fast, err := plan.Faster(n)
		require.NoError(t, err)
		assert.Equal(t, want, fast.Peers[0].Retry, "speed %v", n)
	}
	plan.Peers[0].Retry = 50 * time.Millisecond
	fast, err := plan.Faster(10)
	require.NoError(t, err)
	assert.Equal(t, 50*time.Millisecond, fast.Peers[0].Retry, "never longer than it was")
}

func TestFasterRefuses(t *testing.T) {
	t.Parallel()
	const renewed = "Certificate, metadata: {name: x}, spec: {secretName: x, commonName: x, " +
		"issuerRef: {name: mesh-ca}, duration: 1h, renewBefore: %s}}"
	certificate := func(renewBefore string) []string {
		return []string{
			"[mesh-pki.yaml]",
			"[mesh-pki.yaml, {apiVersion: cert-manager.io/v1, kind: " +
				strings.Replace(renewed, "%s", renewBefore, 1) + "]",
		}
	}
	for _, c := range []struct {
		name  string
		edits []string
		n     float64
		want  []string
	}{
		{"zero", nil, 0, []string{"speed 0 is not a number from 1; 1 is as written"}},
		{"negative", nil, -1, []string{"speed -1 is not a number from 1; 1 is as written"}},
		{"slower", nil, 0.5, []string{"speed 0.5 is not a number from 1; 1 is as written"}},
		{"no number", nil, math.NaN(), []string{
			"speed NaN is not a number from 1; 1 is as written",
		}},
		{"infinite", nil, math.Inf(1), []string{
			"speed +Inf is not a number from 1; 1 is as written",
		}},
		{"off for a moment", []string{
			"syncFrequency: 20s", "syncFrequency: 1m",
			"syncFrequency: 10s", "syncFrequency: 1m",
			"cut: true", "cut: true, for: 20s", "slow-0}", "slow-0, for: 9s}",
		}, 4, []string{
			"disturbNetwork[10]/disturb: 20s would be 5s, and who is away for less than 10s is " +
				"hardly missed; use --speed 2 at most",
			"stopNode[11]/stop-slow-0: 9s would be 2.25s, and who is away for less than 10s is " +
				"hardly missed; it cannot be sped up",
		}},
		{"kubelets", nil, 25, []string{
			"node fast: syncFrequency: 20s would be 800ms, and kubelets look once in 1s; " +
				"use --speed 20 at most",
			"setKubelet[3]/configure-fast: syncFrequency: 10s would be 400ms, and kubelets look " +
				"once in 1s; use --speed 10 at most",
		}},
		{"kubelets alike", []string{"{changeDetection: Cache, cacheTTL: 30s}", "{}"}, 61, []string{
			"node fast: syncFrequency: 20s would be 327.868852ms, and kubelets look once in 1s; " +
				"use --speed 20 at most",
			"node slow-0 and 1 more: syncFrequency: 1m would be 983.606557ms, and kubelets look " +
				"once in 1s; use --speed 60 at most",
			"setKubelet[3]/configure-fast: syncFrequency: 10s would be 163.934426ms, and " +
				"kubelets look once in 1s; use --speed 10 at most",
		}},
		{"kubelet below a second", []string{
			"syncFrequency: 20s", "syncFrequency: 500ms",
		}, 2, []string{
			"node fast: syncFrequency: 500ms would be 250ms, and kubelets look once in 1s; " +
				"it cannot be sped up",
		}},
		{"horizon", []string{
			"syncFrequency: 20s", "syncFrequency: 2h",
			"cacheTTL: 30s", "cacheTTL: 30s, syncFrequency: 2h",
			"syncFrequency: 10s", "syncFrequency: 2h",
		}, 480, []string{
			"horizon: 1h would be 7.5s, below 10s; use --speed 360 at most",
		}},
		{"renewal", certificate("10m"), 2, []string{
			"certificate default/x: its renewal at 50m is within the horizon (1h) and comes no " +
				"faster; rotate it by a rotateLeaf fault instead, and lengthen its duration",
		}},
		{"renewal in a shorter run", append(
			certificate("30m"), "horizon: 1h", "horizon: 51m",
		), 2, []string{
			"certificate default/x: its renewal at 30m is within the horizon (51m) and comes no " +
				"faster; rotate it by a rotateLeaf fault instead, and lengthen its duration",
		}},
		{"failed requests", []string{
			"issuerOutage: {for: 1m}", "issuerOutage: {mode: fail, for: 1m}",
			"horizon: 1h", "horizon: 2h",
		}, 2, []string{
			"issuerOutage[6]/stop: after a failed request cert-manager waits for 1h at any " +
				"speed, and the run goes on for longer; use mode: stop, or end the run within " +
				"1h of the outage",
		}},
		{"reload", []string{"contextCacheTTL: 3m", "contextCacheTTL: 4ns"}, 10, []string{
			"workload akka: reload: 4ns comes to nothing; lower --speed",
		}},
		{"read gap and expectations", []string{
			"readGap: 40ms", "readGap: 4ns", "within: 7m", "within: 3ns",
			"within: 8m", "within: 3ns", "within: 10m", "within: 2ns",
			"by: -2m", "by: -1ns", "cacheTTL: 30s", "cacheTTL: 1ns",
		}, 10, []string{
			"node slow-0: cacheTTL: 1ns comes to nothing; lower --speed",
			"node slow-1: cacheTTL: 1ns comes to nothing; lower --speed",
			"workload go: readGap: 4ns comes to nothing; lower --speed",
			"skewClock[4]/skew: 1ns comes to nothing; lower --speed",
			"expect.settle.within: 2ns comes to nothing; lower --speed",
			"expect.propagation.within: 3ns comes to nothing; lower --speed",
			"expect.staleTrust.within: 3ns comes to nothing; lower --speed",
		}},
		{"condition", []string{
			"that: balance.failed == 0", "that: bound_seconds < 300.0",
		}, 2, []string{
			`expect.conditions[0] "quiet": it mentions bound_seconds, so it may speak of times ` +
				"or of counts that grow with them; leave it out, or use --speed 1",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fast, err := hurry(t, c.edits...).Faster(c.n)
			require.ErrorIs(t, err, scenarios.ErrSpeed)
			assert.Empty(t, fast)
			problems := []error{err}
			if joined, ok := err.(interface{ Unwrap() []error }); ok {
				problems = joined.Unwrap()
			}
			var got []string
			for _, problem := range problems {
				require.ErrorIs(t, problem, scenarios.ErrSpeed)
				text := problem.Error()
				got = append(got, strings.TrimPrefix(text, "cannot be performed faster: "))
			}
			assert.Equal(t, c.want, got)
		})
	}
}

// The bounds themselves are allowed.
func TestFasterAllows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		edits []string
		n     float64
	}{
		{"a sync in a second", nil, 10},
		{"a fraction", nil, 9.99},
		{"failed requests that are not tried again", []string{
			"issuerOutage: {for: 1m}", "issuerOutage: {mode: fail, for: 1m}",
		}, 10},
	} {
		_, err := hurry(t, c.edits...).Faster(c.n)
		assert.NoError(t, err, c.name)
	}
}

func TestFasterTwice(t *testing.T) {
	t.Parallel()
	fast, err := hurry(t).Faster(2)
	require.NoError(t, err)
	_, err = fast.Faster(2)
	require.ErrorIs(t, err, scenarios.ErrSpeed)
	require.EqualError(t, err, "cannot be performed faster: speed: the plan is sped up 2 times "+
		"already; start from the one it was made of")
}

// Every speed that the problems of a plan name works, and one a little above it does not.
func TestFasterNamesTheLargestSpeed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		every := time.Second +
			time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(rt, "every"))
		plan := scenarios.Plan{
			Horizon: 100 * time.Hour,
			Nodes:   []scenarios.PlannedNode{{Name: "n", SyncFrequency: every}},
		}
		largest := math.Floor(100*every.Seconds()) / 100
		_, err := plan.Faster(largest + 0.02)
		hint := "use --speed " + scenarios.FormatSpeed(largest) + " at most"
		if !errors.Is(err, scenarios.ErrSpeed) || !strings.HasSuffix(err.Error(), hint) {
			rt.Fatalf("%v, not %v", err, largest)
		}
		if _, err := plan.Faster(largest); err != nil {
			rt.Fatal(err)
		}
	})
}

// A condition is let through only if nothing in it can speak of time.
func TestFasterConditions(t *testing.T) {
	t.Parallel()
	const computed = "it looks up something that is computed"
	for that, why := range map[string]string{
		"balance.failed == 0":                                    "",
		"balance.failed > 0 && 0.0 < balance.ok":                 "",
		"balance.unaccounted == 0u":                              "",
		"balance.failed + balance.skipped == 0":                  "",
		"verdict == 'fail'":                                      "",
		`verdict in ["fail", 'pass']`:                            "",
		"outcomes['unknown-authority'] == 0":                     "",
		"findings.all(f, f.status != 'fail')":                    "",
		"findings.exists( x , x.id == 'trust-gap' && complete)":  "",
		"associations.dropped == associations.reestablished":     "",
		"balance.failed < 100":                                   "it compares with 100",
		"balance.failed * 10 < balance.ok":                       "it compares with 10",
		"balance.failed < 1e6":                                   "it compares with 1e6",
		"balance.failed < 0.5":                                   "it compares with 0.5",
		"balance.failed < .5":                                    "it compares with .5",
		"balance.failed < 0x10":                                  "it compares with 0x10",
		"-1 < balance.failed":                                    "it compares with 1",
		"propagation_seconds.max < bound_seconds":                "it mentions propagation_seconds",
		"duration('7m') > duration('0s')":                        "it mentions duration",
		"timestamp(0) < timestamp(0)":                            "it mentions timestamp",
		"latency.p99 == 0.0":                                     "it mentions latency",
		"worst.at_seconds == 0.0":                                "it mentions at_seconds",
		"worst['at_seconds'] == 0.0":                             "it mentions 'at_seconds'",
		"associations['lost_' + 'seconds'] == 0.0":               computed,
		"findings[0].status == 'pass'":                           computed,
		"findings.all(f, f.reason.contains('5m'))":               "it mentions reason",
		"faults.all(f, f.note != '')":                            "it mentions faults",
		"findings.all(reason, reason.status == reason.anything)": "it mentions anything",
		"findings.all(reason, reason.reason == 'x')":             "it mentions reason",
		`verdict == r"fail"`:                                     "it mentions r",
	} {
		plan := scenarios.Plan{Horizon: time.Hour, Expect: scenarios.Expect{
			Conditions: []scenarios.Condition{{Name: "c", That: that}},
		}}
		_, err := plan.Faster(2)
		if why == "" {
			require.NoError(t, err, that)
			continue
		}
		if assert.ErrorIs(t, err, scenarios.ErrSpeed, that) {
			assert.Contains(t, err.Error(), `"c": `+why+", so", that)
		}
	}
}

// A container is not made anew in less than about a second, at any speed.
func TestFasterRestarts(t *testing.T) {
	scenario, err := scenarios.Open("restart-during-swap", nil)
	require.NoError(t, err)
	plan, err := scenario.Plan(1)
	require.NoError(t, err)
	fast, err := plan.Faster(60)
	require.NoError(t, err)
	seen := 0
	for i, action := range fast.Actions {
		if action.Verb == scenarios.RestartPods {
			seen++
			assert.Equal(t, min(plan.Actions[i].Downtime, time.Second), action.Downtime, action.ID)
		}
	}
	assert.Positive(t, seen)
}
