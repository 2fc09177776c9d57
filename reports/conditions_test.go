package reports

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/scenarios"
)

func withConditions(s *scene, texts ...string) *scene {
	for _, text := range texts {
		s.plan.Expect.Conditions = append(s.plan.Expect.Conditions,
			scenarios.Condition{Name: "c", That: text})
	}
	return s
}

func TestConditions(t *testing.T) {
	for _, row := range []struct {
		that   string
		status Status
	}{
		{"balance.failed == 0", Pass},
		{"balance.ok > 1000 && outage_seconds < 1", Pass},
		{"outcomes['unknown-authority'] == 0", Pass},
		{"propagation_seconds.p99 <= 15.0", Fail},
		{"propagation_seconds.p99 / 2.0 <= 10.0", Pass},
		{"worst.broken_pairs * 2 < worst.pairs", Pass},
		{"findings.all(f, f.status == 'pass')", Pass},
		{"findings.exists(f, f.id == 'torn-pair' && f.reason.contains('reloads'))", Pass},
		{"faults[0].proof_at_seconds - faults[0].at_seconds < 1.0", Pass},
		{"verdict == 'pass' && complete", Pass},
		{"seed == 1 && scenario.startsWith('sm')", Pass},
	} {
		t.Run(row.that, func(t *testing.T) {
			r := withConditions(newScene(), row.that).judge(t)
			require.Len(t, r.Conditions, 1)
			assert.Equal(t, row.status, r.Conditions[0].Status)
			assert.Equal(t, row.status, r.Verdict)
		})
	}
}

func TestConditionOfAnIncompleteRun(t *testing.T) {
	s := withConditions(newScene(), "balance.failed == 0")
	r, err := Judge(s.analyse(t, true))
	require.NoError(t, err)
	assert.Equal(t, Inconclusive, r.Conditions[0].Status)
}

func TestCheckConditionsReportsAll(t *testing.T) {
	s := withConditions(newScene(), "balance.failed == 0", "balanse.failed == 0", "1 +", "2 + 2")
	err := CheckConditions(s.plan)
	require.ErrorIs(t, err, ErrCondition)
	require.ErrorContains(t, err, `expect.conditions[1] "c": line 1, column 1: undeclared `+
		`reference to 'balanse'`)
	require.ErrorContains(t, err, `expect.conditions[2] "c": line 1, column 4: Syntax error`)
	require.ErrorContains(t, err, `expect.conditions[3] "c": it gives int, not true or false`)
	assert.NotContains(t, err.Error(), "conditions[0]")
}

func TestConditionsThatCannotBeEvaluated(t *testing.T) {
	for _, row := range []struct{ that, problem string }{
		{"balance.lost == 0", "no such key: lost"},
		{"balance.failed", "it gives int, not true or false"},
		{
			"faults.all(a, [[1,2,3,4,5,6,7,8,9,10]].all(b, b.all(c, b.all(d, b.all(e, b.all(f, " +
				"b.all(g, c + d + e + f + g > 0)))))))", "actual cost limit exceeded",
		},
	} {
		t.Run(row.that, func(t *testing.T) {
			s := withConditions(newScene(), row.that)
			require.NoError(t, CheckConditions(s.plan))
			r := s.judge(t)
			assert.Equal(t, Inconclusive, r.Verdict, "the report is not lost over it")
			require.Len(t, r.Conditions, 1)
			assert.Equal(t, Inconclusive, r.Conditions[0].Status)
			assert.Contains(t, r.Conditions[0].Reason, row.problem)
		})
	}
}
