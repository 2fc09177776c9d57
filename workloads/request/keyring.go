package request

import (
	"time"

	"github.com/certquake/certquake/workloads/keyring"
	"github.com/certquake/certquake/workloads/token"
)

// KeyringSettings returns how a pod reads a mounted key ring for tokens of an algorithm: those who
// sign need what those who verify must not have. A negative ttl reads once.
func KeyringSettings(a token.Algorithm, signs bool, ttl time.Duration) keyring.Settings {
	part := a.VerifyingPart()
	if signs {
		part = a.SigningPart()
	}
	return keyring.Settings{Parts: []keyring.Part{part}, Check: a.Check, TTL: ttl}
}
