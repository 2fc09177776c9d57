package reports

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/reports/plots"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/rotation"
)

func TestKeyFigures(t *testing.T) {
	s := newTokenScene()
	s.refuse("edge-0", signAt, 20, record.UnknownKid, "r2", "r1*")
	s.refuse("api-0", signAt+time.Minute, 9, record.UnknownKid, "r2", "r1* r3")
	s.refuse("edge-0", dropAt, 18, record.TokenExpired, "r1", "r2*")
	s.refuse("edge-0", dropAt, 18, record.Unreachable, "r1", "r2*")
	s.fetch(0, publishAt, 11, record.OK)
	s.fetch(publishAt+time.Second, publishAt+time.Second, 3, record.Unreachable)
	s.refuse("", 50*time.Minute, 600, record.Skipped, "", "")
	s.rings(signAt+time.Second, "r1 r2*") // the same again
	k := s.judge(t).Keys
	assert.Equal(t, []KeySecret{{
		Secret: "default/jwt",
		Steps: []KeyStep{
			{0, "r1*", true}, {600, "r1* r2", true}, {900, "r1 r2*", true}, {2100, "r2*", true},
		},
		Margins: []KeyMargin{
			{rotation.PublishToSign, 300, 86.3, 213.7, new(Seconds(300)), false},
			{rotation.SignToDrop, 1200, 686.3, 513.7, new(Seconds(1200)), false},
		},
	}}, k.Secrets)
	assert.Equal(t, []KeyFailure{
		{record.UnknownKid, 29, Share(29.0 / 3000), 900, 976, "r2", "r1*"},
		{record.TokenExpired, 18, Share(18.0 / 3000), 2100, 2134, "r1", "r2*"},
	}, k.Failures)
	assert.Equal(t, []KeyFetches{{"edge", "auth", 14, 3, 601, 3}}, k.Fetches)
	assert.Nil(t, newScene().judge(t).Keys)
}

func TestFetchesOfEachGroup(t *testing.T) {
	s := newTokenScene()
	gate := s.plan.Tokens[2]
	gate.Workload = "gate"
	s.plan.Tokens = append(s.plan.Tokens, gate)
	s.plan.Pods = append(s.plan.Pods, scenarios.Pod{Name: "gate-0", Workload: "gate", Node: "n"})
	s.fetch(0, 10*time.Second, 5, record.OK)
	s.fetch(time.Minute, time.Minute, 20, record.OK)
	s.rows[len(s.rows)-1].Source = "gate-0"
	assert.Equal(t, []KeyFetches{
		{"edge", "auth", 5, 0, 0, 1}, {"gate", "auth", 20, 0, 60, 20},
	}, s.judge(t).Keys.Fetches)
}

// A rotation must be safe against the longest bound, the longest life of a token and clocks that
// are off, all of those who have the Secret's keys and of nobody else.
func TestWhatARotationNeeds(t *testing.T) {
	s := newTokenScene()
	s.rotating(`{"metadata": {"namespace": "default", "name": "jwt"},
		"spec": {"every": "20m", "promoteAfter": "5m", "retireAfter": "20m"}}`)
	other := scenarios.TokenGroup{
		Consumer: scenarios.Consumer{
			Workload: "other", Secret: "default/other", Policy: "lazy-ttl", Every: time.Hour,
		},
		Role: scenarios.Issues, TTL: 5 * time.Hour,
	}
	s.plan.Tokens = append(s.plan.Tokens, other)
	s.plan.Pods = append(s.plan.Pods, scenarios.Pod{Name: "other-0", Workload: "other", Node: "n"})
	skew := func(id string, by time.Duration, pods ...string) {
		s.plan.Actions = append(s.plan.Actions, scenarios.Action{
			ID: id, At: 40 * time.Minute, Verb: scenarios.SetClock, Skew: by, Pods: pods,
		})
	}
	skew("a", time.Minute, "api-0")
	skew("b", -2*time.Minute, "edge-0", "other-0")
	skew("c", 9*time.Minute, "other-0")
	margins := s.judge(t).Keys.Secrets[0].Margins
	require.Len(t, margins, 3)
	assert.Equal(t, KeyMargin{
		rotation.PublishToSign, 300, 86.3, 213.7, new(Seconds(300)), false,
	}, margins[0])
	assert.Equal(t, KeyMargin{
		rotation.SignToDrop, 1200, 12*60 + 86.3, 1200 - 12*60 - 86.3, new(Seconds(1200)), false,
	}, margins[1])
	assert.Equal(t, KeyMargin{rotation.Period, 1200, 1500, -300, nil, false}, margins[2])
	assert.True(t, margins[2].Short())
	assert.Equal(t, figure{
		"least to spare in a rotation", "3m33.7s",
		"publish-to-sign of default/jwt: waits 5m, needs 1m26.3s",
	}, keyFiguresOf(s.judge(t).Keys)[0], "a period that is not kept endangers no token")

	s = newTokenScene()
	s.plan.World.RotatingSecrets[0].Spec.Gate = string(rotation.Uptake)
	margins = s.judge(t).Keys.Secrets[0].Margins
	assert.Equal(t, KeyMargin{
		rotation.SignToDrop, 1200, 600, 600, new(Seconds(1200)), true,
	}, margins[1])

	s = newTokenScene()
	s.plan.Expect.Propagation = &scenarios.Within{Within: scenarios.Duration(time.Minute)}
	assert.InDelta(t, 60, float64(s.judge(t).Keys.Secrets[0].Margins[0].Need), 0)
}

func TestWaitsBetweenWrites(t *testing.T) {
	type step struct {
		at   Seconds
		ring string
	}
	none := Seconds(-1)
	for name, row := range map[string]struct {
		steps      []step
		sign, drop Seconds
	}{
		"nothing":    {nil, none, none},
		"one write":  {[]step{{0, "r1*"}}, none, none},
		"a rotation": {[]step{{0, "r1*"}, {10, "r1* r2"}, {15, "r1 r2*"}, {35, "r2*"}}, 5, 20},
		"the smallest of two": {[]step{
			{0, "r1*"},
			{10, "r1* r2"},
			{15, "r1 r2*"},
			{35, "r2*"},
			{40, "r2* r3"},
			{43, "r2 r3*"},
			{70, "r3*"},
		}, 3, 20},
		"under way at first": {[]step{{0, "r1* r2"}, {5, "r1 r2*"}, {25, "r2*"}}, none, 20},
		"rolled back": {[]step{
			{0, "r1*"}, {10, "r1* r2"}, {15, "r1 r2*"}, {18, "r1* r2"}, {30, "r1*"},
		}, 5, 12},
		"taken back before it signed": {
			[]step{{0, "r1*"}, {10, "r1* r2"}, {15, "r1*"}}, none, none,
		},
		"replaced": {[]step{{0, "r1*"}, {10, "r2*"}}, 0, 0},
		"published and signing at once": {
			[]step{{0, "r1*"}, {10, "r1 r2*"}, {30, "r2*"}}, 0, 20,
		},
		"dropped as it stops signing": {
			[]step{{0, "r1*"}, {10, "r1* r2"}, {15, "r2*"}}, 5, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var w waits
			for _, step := range row.steps {
				g := ring(step.ring)
				w.next(step.at.duration(), g.Leaf, authorities(g.Trust))
			}
			value := func(interval rotation.Interval) float64 {
				if seen := w.smallest(interval); seen != nil {
					return float64(*seen)
				}
				return float64(none)
			}
			assert.InDelta(t, float64(row.sign), value(rotation.PublishToSign), 0)
			assert.InDelta(t, float64(row.drop), value(rotation.SignToDrop), 0)
			assert.Nil(t, w.smallest(rotation.Period))
		})
	}
}

func TestBusiestSecond(t *testing.T) {
	row := func(from, to time.Duration, count int64) fetched {
		return fetched{stretch: stretch{from, to}, count: count}
	}
	s := time.Second
	for name, test := range map[string]struct {
		rows []fetched
		at   time.Duration
		most float64
	}{
		"none":            {nil, 0, 0},
		"one":             {[]fetched{row(5*s, 5*s, 1)}, 5 * s, 1},
		"spread thinly":   {[]fetched{row(0, 3600*s, 2)}, 0, 1},
		"spread evenly":   {[]fetched{row(10*s, 20*s, 50)}, 10 * s, 5},
		"within a second": {[]fetched{row(10*s, 10*s+s/2, 7)}, 10 * s, 7},
		"within one together": {
			[]fetched{row(10*s, 10*s, 7), row(10*s+900*ms, 10*s+900*ms, 2)}, 10 * s, 9,
		},
		"a second apart":      {[]fetched{row(10*s, 10*s, 7), row(11*s, 11*s, 8)}, 11 * s, 8},
		"on top of a stretch": {[]fetched{row(0, 100*s, 200), row(50*s, 50*s, 7)}, 50 * s, 9},
		"at the end of one":   {[]fetched{row(0, 10*s, 100), row(10*s, 10*s, 7)}, 9*s + 1, 17},
	} {
		t.Run(name, func(t *testing.T) {
			at, most := busiestSecond(test.rows)
			assert.Equal(t, test.at, at)
			assert.InDelta(t, test.most, most, 1e-6)
		})
	}
}

// The second that is found has as many fetches as any that a slow search in steps of 10 ms finds.
func TestBusiestSecondAgainstAllSeconds(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var rows []fetched
		for range dice.IntN(8) + 1 {
			from := time.Duration(dice.IntN(1000)) * 10 * ms
			rows = append(rows, fetched{
				stretch: stretch{from, from + time.Duration(dice.IntN(300))*10*ms},
				count:   dice.Int64N(30) + 1,
			})
		}
		within := func(from time.Duration) float64 {
			total := 0.0
			for _, r := range rows {
				if r.to == r.from && r.from >= from && r.from < from+time.Second {
					total += float64(r.count)
				} else if r.to > r.from {
					shared := min(r.to, from+time.Second) - max(r.from, from)
					total += float64(r.count) * max(float64(shared), 0) / float64(r.to-r.from)
				}
			}
			return total
		}
		want := 1.0
		for from := time.Duration(0); from < 14*time.Second; from += 10 * ms {
			want = max(want, within(from), within(from+1))
		}
		at, most := busiestSecond(rows)
		assert.InDelta(t, want, most, 1e-6, rows)
		assert.InDelta(t, max(within(at), 1), most, 1e-6, rows)
	}
}

func TestConditionsOnKeys(t *testing.T) {
	for that, status := range map[string]Status{
		"keys.secrets.all(s, s.margins.all(m, m.spare_seconds >= 0.0))":                Pass,
		"keys.secrets[0].margins[0].seen_seconds < 300.0":                              Fail,
		"keys.failures.all(f, f.outcome == 'unknown-kid')":                             Pass,
		"keys.failures.exists(f, f.token_key == 'r2' && f.verifier_keys == 'r1*')":     Pass,
		"keys.failures[0].count == 20 && keys.failures[0].share < 0.01":                Pass,
		"keys.fetches.all(f, f.failed == 0 && f.total > 0 && f.peak_per_second < 5.0)": Pass,
		"propagation_fetched_seconds.max == 70.0":                                      Pass,
		"outcomes['unknown-kid'] == 0":                                                 Fail,
	} {
		s := newTokenScene()
		s.refuse("edge-0", signAt, 20, record.UnknownKid, "r2", "r1*")
		s.fetch(0, publishAt, 11, record.OK)
		r := withConditions(s, that).judge(t)
		assert.Equal(t, status, r.Conditions[0].Status, "%s: %s", that, r.Conditions[0].Reason)
	}
	r := withConditions(newScene(), "keys.failures.size() == 0").judge(t)
	assert.Equal(t, Inconclusive, r.Conditions[0].Status, "there are no keys")
}

// The figures of kubelets are of those who mount the keys, the others of all.
func TestPropagationFiguresOfKeys(t *testing.T) {
	r := newTokenScene().judge(t)
	assert.Equal(t, Quantiles{Count: 8, Mean: 21.25, P50: 10, P90: 70, P99: 70, Max: 70},
		r.Propagation)
	assert.Equal(t, &Quantiles{Count: 6, Mean: 10, P50: 10, P90: 10, P99: 10, Max: 10}, r.Mounted)
	assert.Equal(t, &Quantiles{Count: 2, Mean: 55, P50: 40, P90: 70, P99: 70, Max: 70}, r.Fetched)
	assert.Equal(t, Quantiles{Count: 6, Mean: 4, P50: 4, P90: 4, P99: 4, Max: 4}, r.Projection)
	assert.Equal(t, []NodeDelay{{Node: "n", Count: 6, P50: 10, Max: 10}}, r.ByNode)
	assert.EqualValues(t, 2, r.Law.Count)
	assert.InDelta(t, 25, float64(r.Law.Max), 0)
	// Each of three writes has three pairs, but the one in the middle is no news to edge.
	assert.EqualValues(t, 3+1+3, r.Disagreement.Count)
	assert.Nil(t, newScene().judge(t).Mounted)
}

func TestLanesOfKeys(t *testing.T) {
	a := newTokenScene().analyse(t, false)
	l := a.lanesPlot(a.run())
	assert.Equal(t, "Which keys each pod used when", l.Title)
	assert.Equal(t, []string{"jwt: r1*", "jwt: r1* r2", "jwt: r1 r2*", "jwt: r2*"}, l.Keys)
	late := plots.Window{From: signAt + 20*time.Second, To: dropAt} // edge has not fetched yet
	assert.Equal(t, []string{"jwt: r1* r2", "jwt: r1 r2*"}, a.lanesPlot(late).Keys)
	assert.Equal(t, "Which certificate or keys each pod used when",
		newMixedScene().analyse(t, false).lanesPlot(a.run()).Title)
}

// A year of rotations has too many rings to tell apart: colours repeat, a whole rotation and more
// between two that share one.
func TestLanesOfManyRings(t *testing.T) {
	s := newMixedScene()
	for i := range 4 {
		at := 40*time.Minute + time.Duration(i)*3*time.Minute
		one, next := "r"+string(rune('2'+i)), "r"+string(rune('3'+i))
		s.turn(at, one+"* "+next, 10*time.Second)
		s.turn(at+time.Minute, one+" "+next+"*", 10*time.Second)
		s.turn(at+2*time.Minute, next+"*", 10*time.Second)
	}
	a := s.analyse(t, false)
	l := a.lanesPlot(a.run())
	assert.Equal(t, []string{
		"jwt: r1*, …", "jwt: r1* r2, …", "jwt: r1 r2*, …", "jwt: r2*, …", "jwt: r2* r3, …",
		"jwt: r2 r3*, …", "jwt: r3*, …", "jwt: r3* r4, …", "issued by root/1",
	}, l.Keys)
	assert.Contains(t, l.Caption, "; colours repeat")
	var colours [][]int
	for _, lane := range l.Rows {
		var of []int
		for _, span := range lane.Spans {
			of = append(of, span.Key)
		}
		colours = append(colours, of)
	}
	rings := []int{0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7}
	assert.Equal(t, [][]int{{8}, {8}, rings, rings, rings}, colours)
}
