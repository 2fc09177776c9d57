package reports

import (
	"fmt"
	"slices"

	"github.com/certquake/certquake/harness/record"
)

// checkTrustGap fails when one end was shown a leaf whose CA it did not trust, or a token whose key
// it did not have, and when a record at rest could not be read for want of its key, or cannot in
// the end, whether anybody tried or not. A client that sends no certificate because the server's
// list of CAs lacks its issuer meets the same gap under another name, and so counts; so does a
// verifier that has another key under the id of the token's.
func checkTrustGap(a *Analysis) (Status, string) {
	t := a.tally(a.isTrustGap)
	lost := a.unreadable()
	if t.count > 0 {
		reason := fmt.Sprintf("%s met %s, from %s to %s; the first was %s",
			plural(t.count, "attempt"), t.traffic().each("a CA that the other end did not trust",
				"a verifier without the token's key", "a record whose key its reader did not have"),
			Moment(t.first.from), Moment(t.last.to), a.describe(t.first))
		if lost > 0 {
			reason += "; " + plural(lost, "record") + " cannot be read in the end"
		}
		return Fail, reason
	}
	if lost > 0 {
		return Fail, "nobody met it, but " + plural(lost, "record") +
			" cannot be read in the end: their pods do not have the key"
	}
	if gap := a.thinEvidence(); gap != "" {
		return Inconclusive, gap
	}
	had := a.traffic.either("end trusted the other's CA", "verifier had the token's key",
		"end trusted the other's CA or had the token's key")
	if a.traffic.accesses {
		had = a.traffic.each("end trusted the other's CA", "verifier had the token's key",
			"reader had the record's key")
	}
	return Pass, plural(a.attempts.judged(), a.traffic.attempt()) + ", and each " + had
}

func (a *Analysis) isTrustGap(f *failure) bool {
	if f.call || f.access {
		return f.outcome == record.UnknownKid || f.outcome == record.BadSignature
	}
	if f.outcome != record.CertificateRequired || f.own < 0 || f.other < 0 {
		return f.outcome == record.UnknownAuthority
	}
	client := a.generations.at(f.own)
	return client.Chain != "" && !slices.Contains(a.generations.trust[f.other], client.Chain)
}
