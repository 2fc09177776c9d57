package reports

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

func TestQuantilesAreExact(t *testing.T) {
	var sample []time.Duration
	for i := 100; i >= 1; i-- {
		sample = append(sample, time.Duration(i)*time.Second)
	}
	want := Quantiles{Count: 100, Mean: 50.5, P50: 50, P90: 90, P99: 99, Max: 100}
	assert.Equal(t, want, quantilesOf(sample))
	assert.Equal(t, Quantiles{}, quantilesOf(nil))
	one := Quantiles{Count: 1, Mean: 3, P50: 3, P90: 3, P99: 3, Max: 3}
	assert.Equal(t, one, quantilesOf([]time.Duration{3 * time.Second}))
}

// Disagreement never lists the pairs; a slow way that does must agree.
func TestDisagreementAgainstAllPairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		delay := rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.IntRange(0, 50).Draw(t, "ms")) * time.Millisecond
		})
		delays := rapid.SliceOfN(rapid.SliceOfN(delay, 0, 8), 0, 5).Draw(t, "delays")
		var pairs []time.Duration
		for _, sample := range delays {
			slices.Sort(sample)
			for i := range sample {
				for j := range i {
					pairs = append(pairs, sample[i]-sample[j])
				}
			}
		}
		want, got := quantilesOf(pairs), disagreementOf(delays)
		assert.Equal(t, want.Count, got.Count)
		assert.InDelta(t, float64(want.Mean), float64(got.Mean), 1e-8)
		assert.InDelta(t, float64(want.P50), float64(got.P50), 0)
		assert.InDelta(t, float64(want.P99), float64(got.P99), 0)
	})
}

func TestPropagationFigures(t *testing.T) {
	s := newScene()
	s.rows[5].Projected = 2*time.Minute + 4*time.Second
	s.rows[6].Projected = 2*time.Minute + 6*time.Second
	// A restarted pod reads what lies there: no propagation, and no news.
	s.add(record.Span{Kind: record.Up, Source: "p-1", To: 299 * time.Second})
	s.use("p-1", 5*time.Minute, 5*time.Minute, gen("s/2", "root/1"))
	s.write(6*time.Minute, gen("s/3", "root/1"))
	s.add(record.Span{Kind: record.Up, Source: "p-0", To: 370 * time.Second})
	s.use("p-0", 6*time.Minute, 370*time.Second, gen("s/3", "root/1"))
	s.use("p-1", 6*time.Minute, 366*time.Second, gen("s/3", "root/1"))
	r := s.judge(t)
	want := Quantiles{Count: 3, Mean: 12, P50: 10, P90: 20, P99: 20, Max: 20}
	assert.Equal(t, want, r.Propagation)
	assert.Equal(t, Quantiles{Count: 2, Mean: 5, P50: 4, P90: 6, P99: 6, Max: 6}, r.Projection)
	assert.Equal(t, []NodeDelay{{Node: "n", Count: 3, P50: 10, Max: 20}}, r.ByNode)
	assert.Equal(t, Disagreement{Count: 1, Mean: 10, P50: 10, P99: 10}, r.Disagreement)
}

func TestBalance(t *testing.T) {
	s := newScene()
	s.fail("p-0", "p-1", 3*time.Minute, 7, record.UnknownAuthority, nil, nil)
	s.fail("p-1", "p-0", 3*time.Minute, 4, record.Skipped, nil, nil)
	r := s.judge(t)
	assert.Equal(t, Balance{Scheduled: 1200, OK: 1189, Failed: 7, Skipped: 4}, r.Balance)
	assert.EqualValues(t, 7, r.Outcomes[record.UnknownAuthority])
	assert.EqualValues(t, 0, r.Outcomes[record.Expired])
	assert.NotContains(t, r.Outcomes, record.UnknownKid, "nobody has tokens")
	assert.Len(t, r.Outcomes, 16)
}

// p-0 and p-1 dial each other once a second, so a pair's failure lasts a second longer than its
// last failed attempt, unless an end changed before.
func TestOutageAndWorst(t *testing.T) {
	s := newScene()
	s.fail("p-0", "p-1", 130*time.Second, 4, record.UnknownAuthority, nil, nil) // to 133, ends 134
	s.fail("p-1", "p-0", 133*time.Second, 6, record.Expired, nil, nil)          // to 138, ends 139
	s.fail("p-0", "p-1", 139500*time.Millisecond, 1, record.Expired, nil, nil)  // to 140
	s.fail("p-0", "p-1", 200*time.Second, 5, record.Unreachable, nil, nil)      // no credential
	r := s.judge(t)
	assert.InDelta(t, 9.5, float64(r.Outage), 1e-9)
	assert.Equal(t, Worst{At: 133, Broken: 2, Pairs: 2}, r.Worst)
}

// Two failures of one pair at once are one broken pair, and a pair that mends at the instant
// another breaks is not broken with it.
func TestPeak(t *testing.T) {
	second := func(from, to int) stretch {
		return stretch{time.Duration(from) * time.Second, time.Duration(to) * time.Second}
	}
	assert.Equal(t, peak{time.Second, 1}, peakOf([]breakage{
		{second(1, 3), 0, 1, record.Expired}, {second(3, 5), 1, 0, record.Expired},
	}))
	s := newScene()
	s.fail("p-0", "p-1", 130*time.Second, 9, record.UnknownAuthority, nil, nil)
	s.fail("p-0", "p-1", 132*time.Second, 3, record.Expired, nil, nil)
	a := s.analyse(t, false)
	assert.Equal(t, peak{130 * time.Second, 1}, a.peak)
	assert.Len(t, a.broken, 1)
}

func TestWorstWithoutFailures(t *testing.T) {
	assert.Equal(t, Worst{Pairs: 2}, newScene().judge(t).Worst)
}

func TestExpiredUse(t *testing.T) {
	s := newScene()
	s.rows[1].NotAfter = 2*time.Minute + 4*time.Second  // replaced at 2m10s
	s.rows[2].NotAfter = 2*time.Minute + 30*time.Second // replaced at 2m20s
	s.rows[5].NotAfter = time.Hour                      // in use at the end: tells nothing
	r := s.judge(t)
	assert.Equal(t, ExpiredUse{Count: 1, Of: 2, Share: 0.5, Mean: 6, Max: 6}, r.ExpiredUse)
}

func TestAssociationFigures(t *testing.T) {
	s := newScene()
	s.associate(0, 1, record.OK)
	s.drop(3 * time.Minute)
	s.associate(181*time.Second, 9, record.Unreachable)
	s.associate(190*time.Second, 1, record.OK)
	s.drop(598 * time.Second)
	want := AssociationFigures{
		Established: 1, Dropped: 2, Reestablished: 1, DownAtEnd: 1,
		Attempts: 11, Failed: 9, Lost: 12,
	}
	assert.Equal(t, want, s.judge(t).Associations)
}

func TestLatency(t *testing.T) {
	s := newScene()
	row := &s.rows[len(s.rows)-1]
	row.Latency = record.NewHistogram()
	row.Latency.Record(time.Millisecond, 600)
	latency := s.judge(t).Latency
	assert.EqualValues(t, 600, latency.Count)
	assert.InDelta(t, 0.001, float64(latency.P99), 0.00002)
	assert.Equal(t, record.Modelled, latency.Basis)
}

func TestPairsAndTheirIntervals(t *testing.T) {
	plan := newScene().plan
	plan.Peers = append(plan.Peers, scenarios.PeerGroup{
		Consumer: scenarios.Consumer{Workload: "q"},
	})
	plan.Pods = append(plan.Pods, scenarios.Pod{Name: "q-0", Workload: "q", Node: "n"})
	plan.Streams[0].To = []string{"p", "q"}
	d := newDials(plan)
	assert.Equal(t, 3, d.pairs)
	assert.Equal(t, 2*time.Second, d.pairEvery(0, 2))
	assert.Equal(t, time.Second, d.pairEvery(1, 0))
	assert.Zero(t, d.pairEvery(1, 2))
	assert.Zero(t, d.pairEvery(-1, 0))
	assert.Equal(t, []bool{true, true, true}, d.loaded(plan))
	assert.Equal(t, time.Second, d.calledEvery("p"))
	assert.Equal(t, 2*time.Second, d.calledEvery("q"))
	assert.Zero(t, d.calledEvery("nobody"))
	plan.Streams[1].Every, plan.Streams[1].To = time.Minute, []string{"p", "q"}
	d = newDials(plan)
	assert.Equal(t, 2*time.Second, d.calledEvery("q"))
}

func TestMoment(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "1.2ms": 1200 * time.Microsecond, "26.3s": 26300 * time.Millisecond,
		"6m30s": 390 * time.Second, "10m": 10 * time.Minute, "1h": time.Hour,
		"2h0m5s": 2*time.Hour + 5*time.Second, "365d": 8760 * time.Hour,
		"1d30m": 24*time.Hour + 30*time.Minute,
		"-5s":   -5 * time.Second, "10h": 10 * time.Hour, "1h30m": 90 * time.Minute,
	} {
		assert.Equal(t, want, Moment(d))
	}
	assert.Equal(t, "1,234,567", Number(1234567))
	assert.Equal(t, "-1,000", Number(-1000))
	assert.Equal(t, "12", Number(12))
	assert.Equal(t, "1,235", Rate(1234.6).String())
}

func TestAnalyzeRefusesAPlanWithoutHorizon(t *testing.T) {
	_, err := Analyze(scenarios.Plan{Scenario: "x"}, record.Header{}, rowsOf(nil))
	require.EqualError(t, err, `analyse "x": the plan has no horizon`)
}
