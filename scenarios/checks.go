package scenarios

import "slices"

// CheckID names one check that every run is judged by. The set is closed.
type CheckID string

// The checks.
const (
	NewConnections CheckID = "new-connections"
	Associations   CheckID = "associations"
	Validity       CheckID = "validity"
	TrustGap       CheckID = "trust-gap"
	StaleTrust     CheckID = "stale-trust"
	TornPair       CheckID = "torn-pair"
	Recovery       CheckID = "recovery"
	Propagation    CheckID = "propagation"
	Accounting     CheckID = "accounting"
	Proof          CheckID = "proof"
)

// Checks returns every check in the order reports list them.
func Checks() []CheckID {
	return []CheckID{
		NewConnections, Associations, Validity, TrustGap, StaleTrust, TornPair, Recovery,
		Propagation, Accounting, Proof,
	}
}

// Sentence returns what the check promises, in one sentence; empty for an unknown check.
func (c CheckID) Sentence() string {
	switch c {
	case NewConnections:
		return "Every new connection and every call with a token between live pods succeeds, " +
			"and so does every read and write of data at rest."
	case Associations:
		return "An established association is lost only with one of its pods, and comes back."
	case Validity:
		return "No certificate and no token is shown that is expired or not yet valid " +
			"to the other end."
	case TrustGap:
		return "No peer is shown a leaf whose CA it does not trust, no verifier a token whose " +
			"key it lacks, and no record at rest is left without its key."
	case StaleTrust:
		return "A withdrawn CA or key is trusted by no pod for longer than the bound."
	case TornPair:
		return "No peer presents a certificate whose private key it does not hold."
	case Recovery:
		return "After the last fault, credential failures end within the bound."
	case Propagation:
		return "Every written Secret is used by every live pod within the bound."
	case Accounting:
		return "Scheduled attempts equal those that succeeded, failed or were skipped."
	case Proof:
		return "Every fault was seen to take effect."
	}
	return ""
}

// Known reports whether the check is one of Checks.
func (c CheckID) Known() bool { return slices.Contains(Checks(), c) }
