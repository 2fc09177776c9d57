package harness

import (
	"crypto/tls"

	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/handshake"
)

// Policy returns when the group's pods read their credential again, for the workload core.
func Policy(group scenarios.PeerGroup) credential.Policy {
	return credential.Policy{
		Kind: credential.PolicyKind(group.Policy), Every: group.Every,
		KeepLastGood: group.KeepLastGood,
	}
}

// Reading returns how the group's pods read their credential, for the workload core.
func Reading(group scenarios.PeerGroup) credential.Settings {
	return credential.Settings{
		Pinned: group.Pinned, Trust: credential.Trust(group.Trust),
		PairCheck: credential.PairCheck(group.PairCheck), Chain: credential.Chain(group.Chain),
	}
}

// TLS returns the TLS settings of the group's pods, for the workload core.
func TLS(group scenarios.PeerGroup) handshake.Settings {
	curves := make([]tls.CurveID, len(group.Curves))
	for i, id := range group.Curves {
		curves[i] = tls.CurveID(id)
	}
	return handshake.Settings{
		MinVersion: group.MinVersion, MaxVersion: group.MaxVersion,
		CipherSuites: group.CipherSuites, Curves: curves,
		PeerRule:       handshake.PeerRule(group.PeerRule),
		VerifyHostname: group.VerifyHostname, Resumption: group.Resumption,
	}
}
