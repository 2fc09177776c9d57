package reports

import (
	"fmt"

	"github.com/certquake/certquake/scenarios"
)

// Judge computes every figure, judges the run by every check and by the scenario's own conditions,
// and compares the verdict with the expected one. Its error is of a condition that does not
// compile, which CheckConditions finds before a run.
//
// The verdict is fail when any check or condition fails, even in a run that is incomplete or whose
// faults lack proof: what was seen to go wrong went wrong. Else it is inconclusive when any is
// inconclusive, and pass only when all pass.
func Judge(a *Analysis) (*Report, error) {
	r := a.figures()
	for _, check := range checks() {
		finding := Finding{ID: check.id}
		finding.Status, finding.Reason = check.judge(a)
		if gap := a.whole(); gap != "" && finding.Status == Pass {
			finding.Status = Inconclusive
			finding.Reason = gap + "; up to there: " + finding.Reason
		}
		r.Findings = append(r.Findings, finding)
	}
	r.Expected = expectation(a.plan.Expect)
	r.conclude()
	conditions, err := judgeConditions(a.plan, r)
	if err != nil {
		return nil, fmt.Errorf("judge %q: %w", a.plan.Scenario, err)
	}
	r.Conditions = conditions
	r.conclude()
	return r, nil
}

// check is one named check: a pure function from an analysis to a status and its reason.
type check struct {
	id    scenarios.CheckID
	judge func(*Analysis) (Status, string)
}

// checks returns every check in the order of scenarios.Checks.
func checks() []check {
	return []check{
		{scenarios.NewConnections, checkNewConnections},
		{scenarios.Associations, checkAssociations},
		{scenarios.Validity, checkValidity},
		{scenarios.TrustGap, checkTrustGap},
		{scenarios.StaleTrust, checkStaleTrust},
		{scenarios.TornPair, checkTornPair},
		{scenarios.Recovery, checkRecovery},
		{scenarios.Propagation, checkPropagation},
		{scenarios.Accounting, checkAccounting},
		{scenarios.Proof, checkProof},
	}
}

func expectation(expect scenarios.Expect) Expectation {
	e := Expectation{Verdict: Status(expect.Verdict), Because: expect.Because}
	if e.Verdict == "" {
		e.Verdict = Pass
	}
	return e
}

// conclude derives the verdict from the findings and conditions judged so far.
func (r *Report) conclude() {
	r.Verdict = Pass
	because := r.Expected.Because == ""
	for _, result := range r.results() {
		switch result.status {
		case Fail:
			r.Verdict = Fail
			because = because || result.id == r.Expected.Because
		case Inconclusive:
			if r.Verdict == Pass {
				r.Verdict = Inconclusive
			}
		case Pass:
		}
	}
	r.AsExpected = r.Complete && r.Verdict == r.Expected.Verdict &&
		(r.Verdict != Fail || because && r.trustworthy())
}

// trustworthy reports whether a failure, though expected, is of the run that was planned: every
// fault took effect and every attempt is accounted for, unless it is one of these that was to fail.
func (r *Report) trustworthy() bool {
	for _, f := range r.Findings {
		needed := f.ID == scenarios.Proof || f.ID == scenarios.Accounting
		if needed && f.Status != Pass && string(f.ID) != r.Expected.Because {
			return false
		}
	}
	return true
}
