package reports

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

func TestVerdict(t *testing.T) {
	gap := func(s *scene) {
		s.fail("p-0", "p-1", 130*time.Second, 10, record.UnknownAuthority, nil, nil)
	}
	unproven := func(s *scene) {
		s.without(func(r record.Span) bool { return r.Kind == record.Proof })
	}
	for _, row := range []struct {
		name       string
		expect     scenarios.Expect
		change     []func(*scene)
		verdict    Status
		asExpected bool
		code       int
	}{
		{"all pass", scenarios.Expect{}, nil, Pass, true, 0},
		{"a failure", scenarios.Expect{}, []func(*scene){gap}, Fail, false, 1},
		{
			"an expected failure",
			scenarios.Expect{Verdict: "fail", Because: "trust-gap"},
			[]func(*scene){gap},
			Fail, true, 0,
		},
		{
			"any failure expected",
			scenarios.Expect{Verdict: "fail"},
			[]func(*scene){gap},
			Fail, true, 0,
		},
		{
			"a failure for another reason",
			scenarios.Expect{Verdict: "fail", Because: "torn-pair"},
			[]func(*scene){gap},
			Fail, false, 1,
		},
		{"no expected failure", scenarios.Expect{Verdict: "fail"}, nil, Pass, false, 1},
		{"without proof", scenarios.Expect{}, []func(*scene){unproven}, Inconclusive, false, 3},
		{
			"expected to be without proof",
			scenarios.Expect{Verdict: "inconclusive"},
			[]func(*scene){unproven},
			Inconclusive, true, 0,
		},
		{
			"a failure without proof",
			scenarios.Expect{},
			[]func(*scene){unproven, gap},
			Fail, false, 1,
		},
		{
			"an expected failure lacks proof and failures",
			scenarios.Expect{Verdict: "fail"},
			[]func(*scene){unproven},
			Inconclusive, false, 3,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newScene()
			s.plan.Expect = row.expect
			for _, change := range row.change {
				change(s)
			}
			r := s.judge(t)
			assert.Equal(t, row.verdict, r.Verdict)
			assert.Equal(t, row.asExpected, r.AsExpected)
			assert.Equal(t, row.code, r.ExitCode())
		})
	}
}

func TestFindingsFollowTheChecks(t *testing.T) {
	r := newScene().judge(t)
	var ids []scenarios.CheckID
	for _, finding := range r.Findings {
		ids = append(ids, finding.ID)
		assert.NotEmpty(t, finding.Reason)
	}
	assert.Equal(t, scenarios.Checks(), ids)
}

// A record cut short passes nothing, but what it saw go wrong stays wrong.
func TestIncompleteNeverPasses(t *testing.T) {
	s := newScene()
	s.fail("p-0", "p-1", 130*time.Second, 10, record.UnknownAuthority, nil, nil)
	r, err := Judge(s.analyse(t, true))
	require.NoError(t, err)
	assert.False(t, r.Complete)
	assert.Equal(t, Fail, r.Verdict)
	for _, finding := range r.Findings {
		assert.NotEqual(t, Pass, finding.Status, finding.ID)
	}
	assert.Equal(t, "the record ends at 9m59s of 10m; up to there: "+
		"2 propagations to a pod, each within the bound of 26.3s", r.Findings[7].Reason)

	r, err = Judge(newScene().analyse(t, true))
	require.NoError(t, err)
	assert.Equal(t, Inconclusive, r.Verdict)
}

func TestLostRowsMakeARunIncomplete(t *testing.T) {
	s := newScene()
	s.add(record.Span{Kind: record.Lost, From: time.Minute, To: 63 * time.Second})
	r := s.judge(t)
	assert.False(t, r.Complete)
	assert.Equal(t, Inconclusive, r.Verdict)
}

func TestSentence(t *testing.T) {
	s := newScene()
	assert.Equal(t, "PASS: all 10 checks hold, over 1,200 new connections and 2 propagations.",
		s.judge(t).Sentence())
	s.rows[6].To = 2*time.Minute + 40*time.Second
	late := "1 of 2 propagations to a pod came later than the bound; the worst was s/2, written " +
		"at 2m, which reached p-1 after 40s; its bound is 26.3s."
	assert.Equal(t, "FAIL, but pass was expected (propagation): "+late, s.judge(t).Sentence())
	s.plan.Expect = scenarios.Expect{Verdict: "fail", Because: "propagation"}
	assert.Equal(t, "FAIL, as expected (propagation): "+late, s.judge(t).Sentence())
	s.plan.Expect.Because = "torn-pair"
	assert.Equal(t, "FAIL, but fail because of torn-pair was expected (propagation): "+late,
		s.judge(t).Sentence())
}

// The settings of a backend are repeated as a shell is to be given them.
func TestReproduceRepeatsSettings(t *testing.T) {
	s := newScene()
	s.plan.Params = map[string]string{"note": "a b", "hold": "1m"}
	s.plan.Speed = 10
	header := headerOf(s.plan)
	header.Backend = "existing"
	header.Settings = []string{"--allow-partial=true", "--context=it's mine", "--namespace=n"}
	r, err := Judge(s.analyseAs(t, header, false))
	require.NoError(t, err)
	assert.Equal(t, "certquake run small.yaml --seed 1 --backend existing --allow-partial=true "+
		`'--context=it'\''s mine' --namespace=n --speed 10 --set hold=1m --set 'note=a b'`,
		r.Reproduce)
}

func TestCommandLine(t *testing.T) {
	for _, row := range []struct{ word, want string }{
		{"", "''"},
		{"a-Z_0./=:@%+,9", "a-Z_0./=:@%+,9"},
		{"a b", "'a b'"},
		{"it's", `'it'\''s'`},
		{"$(ls)", "'$(ls)'"},
		{"~/x", "'~/x'"},
		{"a\nb;c&d|e", "'a\nb;c&d|e'"},
		{"wörter", "'wörter'"},
	} {
		assert.Equal(t, row.want, CommandLine(row.word))
	}
	assert.Equal(t, "a 'b c' d", CommandLine("a", "b c", "d"))
}

// Others read report.json by these names.
func TestReportFields(t *testing.T) {
	data, err := encode(newScene().judge(t))
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(data, &fields))
	assert.Equal(t, []string{
		"as_expected", "associations", "backend", "balance", "basis", "bound_seconds", "complete",
		"conditions", "digest", "disagreement_seconds", "expected", "expired_use", "faults",
		"findings", "horizon_seconds", "latency", "outage_seconds", "outcomes",
		"projection_seconds", "propagation_by_node", "propagation_law_seconds",
		"propagation_seconds", "reached_seconds",
		"reproduce", "scenario", "seed", "verdict", "why", "worst",
	}, slices.Sorted(maps.Keys(fields)))
	assert.Equal(t, "certquake run small.yaml --seed 1", fields["reproduce"])
	assert.Equal(t, []any{map[string]any{
		"id": "rotateLeaf[0]/reissue", "at_seconds": 120.0, "note": "", "proof_at_seconds": 120.0,
	}}, fields["faults"])
}
