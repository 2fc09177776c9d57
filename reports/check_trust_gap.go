package reports

import (
	"fmt"
	"slices"

	"github.com/certquake/certquake/harness/record"
)

// checkTrustGap fails when one end was shown a leaf whose CA it did not trust, or a token whose key
// it did not have. A client that sends no certificate because the server's list of CAs lacks its
// issuer meets the same gap under another name, and so counts; so does a verifier that has another
// key under the id of the token's.
func checkTrustGap(a *Analysis) (Status, string) {
	t := a.tally(a.isTrustGap)
	if t.count > 0 {
		return Fail, fmt.Sprintf("%s met %s, from %s to %s; the first was %s",
			plural(t.count, "attempt"), t.traffic().either("a CA that the other end did not trust",
				"a verifier without the token's key",
				"a CA that the other end did not trust or a verifier without the token's key"),
			Moment(t.first.from), Moment(t.last.to), a.describe(t.first))
	}
	if gap := a.thinEvidence(); gap != "" {
		return Inconclusive, gap
	}
	return Pass, plural(a.attempts.judged(), a.traffic.attempt()) + ", and each " +
		a.traffic.either("end trusted the other's CA", "verifier had the token's key",
			"end trusted the other's CA or had the token's key")
}

func (a *Analysis) isTrustGap(f *failure) bool {
	if f.call {
		return f.outcome == record.UnknownKid || f.outcome == record.BadSignature
	}
	if f.outcome != record.CertificateRequired || f.own < 0 || f.other < 0 {
		return f.outcome == record.UnknownAuthority
	}
	client := a.generations.at(f.own)
	return client.Chain != "" && !slices.Contains(a.generations.trust[f.other], client.Chain)
}
