//go:build linux && embedded

package embedded_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness"
	"github.com/certquake/certquake/harness/harnesstest"
	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// keyWorld is a scenario of keys that rotate within a minute, but for its faults and its horizon.
const keyWorld = `
apiVersion: certquake.dev/v1alpha1
kind: Scenario
metadata: {name: keys}
spec:
  why: keys of tokens rotate
  nodes:
  - {name: node, count: 2, kubelet: {syncFrequency: 2s}}
  manifests:
  - apiVersion: certquake.dev/v1alpha1
    kind: RotatingSecret
    metadata: {name: jwt}
    spec:
      generate: {kind: ec}
      promoteAfter: 35s
      retireAfter: 30s
  workloads:
  - name: issuer
    tokenIssuer: {replicas: 2, secret: jwt, tokenTTL: 15s, reuse: 10s, keyringTTL: 3s}
  - name: mounted
    tokenVerifier: {replicas: 2, secret: jwt, keyringTTL: 3s}
  - name: fetching
    tokenVerifier: {replicas: 2, jwks: {from: issuer, policy: max-age, maxAge: 10s}}
  load:
  - {workload: issuer, to: [mounted, fetching], requests: {rate: 5/s}}
  horizon: %s
  faults:
%s`

// performed performs keyWorld with faults, and returns its rows.
func performed(t *testing.T, horizon, faults string) harnesstest.Rows {
	t.Helper()
	text := fmt.Sprintf(keyWorld, horizon, faults)
	scenario, err := scenarios.Parse("keys.yaml", []byte(text), nil, nil)
	require.NoError(t, err)
	plan, err := scenario.Plan(1)
	require.NoError(t, err)
	ctx := harness.WithTalk(t.Context(), func(line string) { t.Log(line) })
	var rows harnesstest.Rows
	require.NoError(t, harness.Run(ctx, plan, backend(), &rows, nil))
	return rows
}

// of returns the rows of a kind.
func of(rows harnesstest.Rows, kind record.Kind) []record.Span {
	return slices.DeleteFunc(slices.Clone(rows),
		func(s record.Span) bool { return s.Kind != kind })
}

// outcomes counts the calls by how they ended.
func outcomes(rows harnesstest.Rows) map[record.Outcome]int64 {
	all := map[record.Outcome]int64{}
	for _, row := range of(rows, record.Request) {
		all[row.Outcome] += row.Count
	}
	return all
}

// written returns what was written into the Secret, in order.
func written(rows harnesstest.Rows) []string {
	var rings []string
	for _, row := range of(rows, record.Write) {
		rings = append(rings, row.Detail)
	}
	return rings
}

// proofs returns the proofs, by action.
func proofs(rows harnesstest.Rows) map[string]string {
	all := map[string]string{}
	for _, row := range of(rows, record.Proof) {
		all[row.Action] = row.Source + ": " + row.Detail
	}
	return all
}

// TestKeyRotation has a real operator rotate the keys of tokens, delivered by real kubelets and by
// JWKS, with time enough: nothing fails.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	rows := performed(t, "100s", `
  - {at: 10s, rotateKeys: {secret: jwt}}
  - {at: 20s, operatorOutage: {for: 15s}}`)
	assert.Equal(t, map[record.Outcome]int64{record.OK: 1000}, outcomes(rows))
	assert.Empty(t, of(rows, record.Lost))
	assert.Equal(t, []string{"r1*", "r1* r2", "r1 r2*", "r2*"}, written(rows))
	assert.Equal(t, map[string]string{
		"rotateKeys[0]/rotate":    "default/jwt: the Secret holds r1* r2",
		"operatorOutage[1]/stop":  "operator: no operator runs any more",
		"operatorOutage[1]/start": "operator: an operator runs again",
	}, proofs(rows))
	writes := of(rows, record.Write)
	assert.Equal(t, &record.Generation{Leaf: "jwt/r1", Trust: "jwt/r1+jwt/r2"}, writes[1].Own)
	assert.GreaterOrEqual(t, writes[2].To-writes[1].To, 34*time.Second, "promoteAfter")
	assert.GreaterOrEqual(t, writes[3].To-writes[2].To, 29*time.Second, "retireAfter")
	for _, pod := range []string{
		"issuer-0", "issuer-1", "mounted-0", "mounted-1", "fetching-0", "fetching-1",
	} {
		var rings []string
		for _, row := range of(rows, record.Reload) {
			if row.Source != pod {
				continue
			}
			assert.Equal(t, record.OK, row.Outcome)
			rings = append(rings, row.Own.Leaf+" of "+row.Own.Trust)
			if row.To == 0 {
				continue
			}
			assert.Greater(t, row.To, row.From, "%+v", row)
			assert.Equal(t, strings.HasPrefix(pod, "fetching"), row.Projected == 0, "%+v", row)
			at := slices.IndexFunc(writes, func(w record.Span) bool { return *w.Own == *row.Own })
			assert.Equal(t, writes[at].To, row.From, "%+v", row)
		}
		assert.Equal(t, []string{
			"jwt/r1 of jwt/r1", "jwt/r1 of jwt/r1+jwt/r2", "jwt/r2 of jwt/r1+jwt/r2",
			"jwt/r2 of jwt/r2",
		}, rings, pod)
	}
	assert.NotEmpty(t, of(rows, record.Fetch))
	for _, row := range of(rows, record.Fetch) {
		assert.Equal(t, record.OK, row.Outcome, row.Detail)
		assert.Contains(t, []string{"issuer-0", "issuer-1"}, row.Peer)
	}
}

// TestKeyReplacement has all keys replaced by one in one write: until that is delivered everywhere,
// tokens are of keys that verifiers do not have.
func TestKeyReplacement(t *testing.T) {
	t.Parallel()
	rows := performed(t, "40s", `
  - {at: 10s, replaceKeys: {secret: jwt}}`)
	assert.Equal(t, []string{"r1*", "r2*"}, written(rows))
	assert.Equal(t, "default/jwt: the Secret holds r2*", proofs(rows)["replaceKeys[0]/replace"])
	ended := outcomes(rows)
	assert.Positive(t, ended[record.UnknownKid], "%v", ended)
	assert.Equal(t, int64(400), ended[record.OK]+ended[record.UnknownKid], "%v", ended)
	failed := 0
	for _, row := range of(rows, record.Request) {
		if row.Outcome != record.UnknownKid {
			continue
		}
		failed++
		assert.Equal(t, record.Server, row.Side)
		assert.NotContains(t, row.Other.Trust, row.Own.Leaf)
		assert.Greater(t, row.From, 10*time.Second)
	}
	assert.Positive(t, failed)
}
