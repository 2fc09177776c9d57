package request_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/request"
	"github.com/certquake/certquake/workloads/token"
)

// Every outcome of a token has one of the record's, and only the signer's is the client's.
func TestJudge(t *testing.T) {
	t.Parallel()
	want := map[token.Outcome]record.Outcome{
		token.NoPrimary: record.NoPrimary, token.NoKeys: record.NoKeys,
		token.UnknownKid: record.UnknownKid, token.BadSignature: record.BadSignature,
		token.TokenExpired: record.TokenExpired, token.TokenNotYetValid: record.TokenNotYetValid,
		token.WrongAlgorithm: record.TokenRefused, token.WrongIssuer: record.TokenRefused,
		token.WrongAudience: record.TokenRefused, token.MalformedToken: record.TokenRefused,
	}
	for _, outcome := range token.Outcomes() {
		got, side := request.Judge(fmt.Errorf("call: %w", &token.Error{Outcome: outcome}))
		assert.Equal(t, want[outcome], got, "%s", outcome)
		assert.Equal(t, outcome == token.NoPrimary, side == record.Client, "%s", outcome)
		assert.True(t, got.Failed() && got.Credential())
	}
	assert.Len(t, want, len(token.Outcomes()))
	got, side := request.Judge(nil)
	assert.Equal(t, record.OK, got)
	assert.Empty(t, side)
	got, _ = request.Judge(errors.New("anything"))
	assert.Equal(t, record.Other, got)
}
