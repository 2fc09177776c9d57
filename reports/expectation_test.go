package reports

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// expectFailure is a scene that fails for a trust gap, as its scenario says.
func expectFailure() *scene {
	s := newScene()
	s.plan.Expect = scenarios.Expect{Verdict: "fail", Because: "trust-gap"}
	s.fail("p-0", "p-1", 130*time.Second, 10, record.UnknownAuthority, nil, nil)
	return s
}

// An expected failure counts only if the run was the one planned.
func TestExpectedFailureNeedsProofAndBalance(t *testing.T) {
	r := expectFailure().judge(t)
	assert.True(t, r.AsExpected)
	assert.Zero(t, r.ExitCode())

	unproved := expectFailure()
	unproved.without(func(row record.Span) bool { return row.Kind == record.Proof })
	r = unproved.judge(t)
	assert.Equal(t, Fail, r.Verdict, "what was seen was seen")
	assert.False(t, r.AsExpected)

	unbalanced := expectFailure()
	unbalanced.ok("p-0", 7)
	assert.False(t, unbalanced.judge(t).AsExpected)
}

func TestIncompleteRunIsNeverAsExpected(t *testing.T) {
	r, err := Judge(expectFailure().analyse(t, true))
	require.NoError(t, err)
	assert.Equal(t, Fail, r.Verdict)
	assert.False(t, r.AsExpected)
	assert.Equal(t, 3, r.ExitCode())
}

// The outage of a pair does not depend on how its failures were cut into rows.
func TestOutageDoesNotDependOnRows(t *testing.T) {
	at := 3 * time.Minute
	for _, cuts := range [][]int64{{12}, {5, 7}, {1, 1, 1, 9}} {
		s := newScene()
		from := at
		for _, n := range cuts {
			s.fail("p-0", "p-1", from, n, record.Expired, nil, nil)
			from += time.Duration(n) * time.Second
		}
		assert.InDelta(t, 12, float64(s.judge(t).Outage), 0.001, "%v", cuts)
	}
}
