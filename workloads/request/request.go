// Package request is the core of workloads that call each other with tokens: what pods run, and
// what the simulator asks how a call would end.
package request

import (
	"errors"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/token"
)

// Judge tells how a call ended by the error of a token.Signer or a token.Verifier, and which end
// decided it: the Client signs, the Server verifies.
func Judge(err error) (record.Outcome, record.Side) {
	refused, ok := errors.AsType[*token.Error](err)
	switch {
	case err == nil:
		return record.OK, ""
	case !ok:
		return record.Other, record.Server
	}
	switch refused.Outcome {
	case token.NoPrimary:
		return record.NoPrimary, record.Client
	case token.NoKeys:
		return record.NoKeys, record.Server
	case token.UnknownKid:
		return record.UnknownKid, record.Server
	case token.BadSignature:
		return record.BadSignature, record.Server
	case token.TokenExpired:
		return record.TokenExpired, record.Server
	case token.TokenNotYetValid:
		return record.TokenNotYetValid, record.Server
	case token.WrongAlgorithm, token.WrongIssuer, token.WrongAudience, token.MalformedToken:
		return record.TokenRefused, record.Server
	}
	return record.TokenRefused, record.Server
}
