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
	return performedText(t, fmt.Sprintf(keyWorld, horizon, faults))
}

// performedText performs a scenario, and returns its rows.
func performedText(t *testing.T, text string) harnesstest.Rows {
	t.Helper()
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

// written returns what was written into the Secret jwt, in order.
func written(rows harnesstest.Rows) []string { return writtenTo(rows, "jwt") }

// writtenTo returns what was written into a Secret, in order.
func writtenTo(rows harnesstest.Rows, secret string) []string {
	var rings []string
	for _, row := range of(rows, record.Write) {
		if row.Source == "default/"+secret {
			rings = append(rings, row.Detail)
		}
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

// editedKeys is a scenario of two Secrets: a rotation of the one is rolled back, the other is
// spoilt in every way.
const editedKeys = `
apiVersion: certquake.dev/v1alpha1
kind: Scenario
metadata: {name: edited-keys}
spec:
  why: keys are edited by hand
  nodes:
  - {name: node, kubelet: {syncFrequency: 1s}}
  manifests:
  - apiVersion: certquake.dev/v1alpha1
    kind: RotatingSecret
    metadata: {name: rolled}
    spec: {generate: {kind: symmetric}, promoteAfter: 15s, retireAfter: 10m}
  - apiVersion: certquake.dev/v1alpha1
    kind: RotatingSecret
    metadata: {name: spoilt}
    spec: {generate: {kind: ed25519}, ids: timestamp, prefix: k-}
  workloads:
  - {name: a, tokenIssuer: {replicas: 1, secret: rolled, tokenTTL: 8s, keyringTTL: 1s}}
  - {name: b, tokenVerifier: {replicas: 1, secret: rolled, keyringTTL: 1s}}
  - {name: c, tokenIssuer: {replicas: 1, secret: spoilt, tokenTTL: 8s, keyringTTL: 1s}}
  - {name: d, tokenVerifier: {replicas: 2, secret: spoilt, keyringTTL: 1s}}
  load:
  - {workload: a, to: [b], requests: {rate: 5/s}}
  - {workload: c, to: [d], requests: {rate: 5/s}}
  horizon: 60s
  faults:
  - {at: 5s, rotateKeys: {secret: rolled, rollbackAfter: 30s}}
  - {at: 5s, spoilKeys: {secret: spoilt, how: two-primaries, for: 8s}}
  - {at: 18s, spoilKeys: {secret: spoilt, how: no-primary, for: 8s}}
  - {at: 31s, spoilKeys: {secret: spoilt, how: half-written, for: 15s}}
  - {at: 37s, restart: {workload: d, pods: 1, mode: kill}}
`

// TestEditedKeys has a rotation rolled back, and rings spoilt: whoever has a good one keeps it, and
// a process that starts meanwhile has none.
func TestEditedKeys(t *testing.T) {
	t.Parallel()
	rows := performedText(t, editedKeys)
	assert.Equal(t, []string{"r1*", "r1* r2", "r1 r2*", "r1* r2"}, writtenTo(rows, "rolled"))
	seen := proofs(rows)
	assert.Equal(t, "default/rolled: the Secret holds r1* r2", seen["rotateKeys[0]/reject"])
	problems := map[string]int{}
	for _, row := range of(rows, record.Reload) {
		if row.Outcome != record.OK {
			problems[row.Source+" "+row.Detail]++
		}
	}
	for _, pod := range []string{"c-0", "d-0", "d-1"} {
		assert.Equal(t, 1, problems[pod+" two-primaries"], "%s: %v", pod, problems)
	}
	// Half a pair is a primary to the issuer, who needs no public part, and none to verifiers. The
	// one that is restarted then finds it out twice.
	assert.Equal(t, []int{1, 2, 3}, []int{
		problems["c-0 no-primary"],
		min(problems["d-0 no-primary"], problems["d-1 no-primary"]),
		max(problems["d-0 no-primary"], problems["d-1 no-primary"]),
	}, "%v", problems)
	for action, what := range map[string]string{
		"spoilKeys[1]/spoil": "two-primaries", "spoilKeys[1]/mend": "mended",
		"spoilKeys[2]/spoil": "no-primary", "spoilKeys[2]/mend": "mended",
		"spoilKeys[3]/spoil": "half-written", "spoilKeys[3]/mend": "mended",
	} {
		assert.Contains(t, seen[action], "default/spoilt: the Secret holds k-2", what)
	}
	assert.Len(t, writtenTo(rows, "spoilt"), 7)
	failed := map[record.Outcome]int64{}
	for _, row := range of(rows, record.Request) {
		if row.Outcome == record.OK || row.Outcome == record.Skipped {
			continue
		}
		failed[row.Outcome] += row.Count
		if row.Outcome.Credential() {
			assert.Equal(t, "c-0", row.Source, "a rollback does no harm")
			assert.Greater(t, row.From, 31*time.Second, "nor do rings without one primary")
		}
	}
	assert.Positive(t, failed[record.UnknownKid], "of the half: %v", failed)
	assert.Positive(t, failed[record.NoKeys], "of the restarted: %v", failed)
}

// TestKeyUptake has an operator wait until every consumer tells that it has a key.
func TestKeyUptake(t *testing.T) {
	t.Parallel()
	text := fmt.Sprintf(keyWorld, "60s", `
  - {at: 5s, rotateKeys: {secret: jwt}}`)
	text = strings.Replace(text, "promoteAfter: 35s\n      retireAfter: 30s", `gate: uptake
      retireAfter: 15s
      consumers: {selector: {matchExpressions:
        [{key: certquake.dev/workload, operator: In, values: [issuer, mounted]}]}}`, 1)
	rows := performedText(t, text)
	assert.Equal(t, []string{"r1*", "r1* r2", "r1 r2*", "r2*"}, written(rows))
	writes := of(rows, record.Write)
	for _, row := range of(rows, record.Reload) {
		if row.Own.Leaf == "jwt/r1" && strings.Contains(row.Own.Trust, "r2") &&
			!strings.HasPrefix(row.Source, "fetching") {
			assert.Less(t, row.To, writes[2].To, "%s has the key before it signs", row.Source)
		}
	}
	for _, row := range of(rows, record.Request) {
		if row.Outcome != record.OK {
			assert.Contains(t, row.Peer, "fetching", "who was not asked")
		}
	}
}
