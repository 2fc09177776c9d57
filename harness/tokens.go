package harness

import (
	"time"

	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/credential"
	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/request"
	"github.com/certquake/certquake/workloads/token"
)

// The claims that callers and verifiers agree on: any group's tokens are for any verifier that has
// its keys.
const (
	tokenIssuer   = "certquake"
	tokenAudience = "certquake"
)

// TokenSettings returns what the group's pods sign or accept, for the workload core.
func TokenSettings(group *scenarios.TokenGroup) token.Settings {
	return token.Settings{
		Algorithm: token.Algorithm(group.Algorithm), Issuer: tokenIssuer,
		Audience: tokenAudience, TTL: group.TTL, Leeway: group.Leeway,
	}
}

// KeyringSettings returns how the group's pods read a mounted key ring, for the workload core.
func KeyringSettings(group *scenarios.TokenGroup) keyring.Settings {
	ttl := group.Every
	if group.Policy == string(credential.StartUp) {
		ttl = keyring.Never
	}
	return request.KeyringSettings(
		token.Algorithm(group.Algorithm), group.Role == scenarios.Issues, ttl)
}

// RequestDeadline is how long a call may take, fetching keys included.
const RequestDeadline = 5 * time.Second
