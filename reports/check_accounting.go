package reports

import "fmt"

// checkAccounting fails when attempts are missing or too many, or when the rows of an association
// cannot follow one another.
func checkAccounting(a *Analysis) (Status, string) {
	b := a.balance()
	sum := fmt.Sprintf("%s scheduled = %s ok + %s failed + %s skipped",
		Number(b.Scheduled), Number(b.OK), Number(b.Failed), Number(b.Skipped))
	if gap := a.whole(); gap != "" && b.Unaccounted != 0 {
		return Inconclusive, gap
	}
	if b.Unaccounted != 0 {
		return Fail, fmt.Sprintf("%s, which leaves %s unaccounted for",
			sum, Number(b.Unaccounted))
	}
	if n := a.associations.inconsistent; n > 0 {
		return Fail, "an association began while it stood, or ended while it did not, " + times(n)
	}
	if b.Scheduled == 0 {
		return Pass, "no " + a.traffic.attempt() + " was scheduled and none recorded"
	}
	return Pass, sum
}
