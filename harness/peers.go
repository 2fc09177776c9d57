package harness

import (
	"crypto/tls"
	"time"

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

// AttemptDeadline is how long an attempt to connect may take, from its beginning to its confirming
// byte.
const AttemptDeadline = 5 * time.Second

// The ways in which a group's pods keep long-lived associations.
const (
	associateRing = "ring" // each pod with the next
	associateMesh = "mesh" // each pod with every other
)

// Associates returns the pods of a group, in plan order, to which the i-th of them keeps an
// association that it is the source of. Two pods have one between them, not two.
func Associates(group scenarios.PeerGroup, pods []string, i int) []string {
	switch {
	case group.Associations == associateRing && (len(pods) > 2 || len(pods) == 2 && i == 0):
		return []string{pods[(i+1)%len(pods)]}
	case group.Associations == associateMesh:
		return pods[i+1:]
	}
	return nil
}
