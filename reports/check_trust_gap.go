package reports

import (
	"fmt"
	"slices"

	"github.com/certquake/certquake/harness/record"
)

// checkTrustGap fails when one end was shown a leaf whose CA it did not trust. A client that sends
// no certificate because the server's list of CAs lacks its issuer meets the same gap under
// another name, and so counts.
func checkTrustGap(a *Analysis) (Status, string) {
	t := a.tally(a.isTrustGap)
	if t.count > 0 {
		return Fail, fmt.Sprintf("%s met a CA that the other end did not trust, from %s to %s; "+
			"the first was %s", plural(t.count, "attempt"), Moment(t.first.from), Moment(t.last.to),
			a.describe(t.first))
	}
	if gap := a.thinEvidence(); gap != "" {
		return Inconclusive, gap
	}
	return Pass, plural(a.attempts.shaken(), "new connection") +
		", and each end trusted the other's CA"
}

func (a *Analysis) isTrustGap(f *failure) bool {
	if f.outcome != record.CertificateRequired || f.own < 0 || f.other < 0 {
		return f.outcome == record.UnknownAuthority
	}
	client := a.generations.at(f.own)
	return client.Chain != "" && !slices.Contains(a.generations.trust[f.other], client.Chain)
}
