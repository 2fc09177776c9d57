package sim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
)

// services is a scenario of two issuers, four verifiers with a mounted ring and four with a JWKS.
const services = `
apiVersion: certquake.dev/v1alpha1
kind: Scenario
metadata: {name: services}
spec:
  why: Tests say.
  params:
    promoteAfter: 10m
    retireAfter: 20m
    sync: 60s
    policy: "policy: max-age, maxAge: 2m"
    issuer: "tokenTTL: 5m"
    leeway: 60s
  nodes:
    - {name: one, kubelet: {syncFrequency: $(sync)}}
    - {name: two, kubelet: {syncFrequency: $(sync)}}
  manifests:
    - apiVersion: certquake.dev/v1alpha1
      kind: RotatingSecret
      metadata: {name: jwt}
      spec: {generate: {kind: KIND}, promoteAfter: $(promoteAfter), retireAfter: $(retireAfter)}
  workloads:
    - {name: auth, tokenIssuer: {replicas: 2, secret: jwt, ISSUER}}
    - {name: api, tokenVerifier: {replicas: 4, secret: jwt, leeway: $(leeway)}}
    - {name: edge, tokenVerifier: {replicas: 4, leeway: $(leeway), jwks: {from: auth, POLICY}}}
  load:
    - {workload: auth, to: [api, edge], requests: {rate: 8/s}}
  faults:
    FAULTS
  horizon: 1h
`

// service is what a test changes of it.
type service struct {
	promoteAfter, retireAfter time.Duration
	kind, policy, issuer      string
	leeway                    string
	faults                    []string
	seed                      uint64
	edit                      *strings.Replacer
}

func (s service) plan(tb testing.TB) scenarios.Plan {
	tb.Helper()
	or := func(text, otherwise string) string {
		if text == "" {
			return otherwise
		}
		return text
	}
	text := strings.NewReplacer(
		"KIND", or(s.kind, "ec"), "POLICY", or(s.policy, "policy: max-age, maxAge: 2m"),
		"ISSUER", or(s.issuer, "tokenTTL: 5m"),
		"FAULTS", "- {"+strings.Join(s.faults, "}\n    - {")+"}",
		"faults:\n    - {}", "",
	).Replace(services)
	if len(s.faults) == 0 {
		text = strings.Replace(text, "  faults:\n    - {}\n", "", 1)
	}
	if s.edit != nil {
		text = s.edit.Replace(text)
	}
	set := map[string]string{"leeway": or(s.leeway, "60s")}
	if s.promoteAfter >= 0 {
		set["promoteAfter"] = s.promoteAfter.String()
	}
	set["retireAfter"] = s.retireAfter.String()
	parsed, err := scenarios.Parse("services.yaml", []byte(text), nil, set)
	require.NoError(tb, err, "%s", text)
	plan, err := parsed.Plan(s.seed)
	require.NoError(tb, err)
	return plan
}

// rotate is the fault that orders a rotation.
const rotate = "at: 10m, rotateKeys: {secret: jwt}"

// safe are waits that are long enough for anything in the scenario.
func safe() service {
	return service{promoteAfter: 10 * time.Minute, retireAfter: 20 * time.Minute}
}

// requests counts calls by outcome.
func (r rows) requests() map[record.Outcome]int64 {
	out := map[record.Outcome]int64{}
	for _, row := range r {
		if row.Kind == record.Request {
			out[row.Outcome] += row.Count
		}
	}
	return out
}

// refused counts calls that failed for a credential reason.
func (r rows) refused() (n int64) {
	for outcome, count := range r.requests() {
		if outcome.Credential() {
			n += count
		}
	}
	return n
}

// written returns the keys of each write, with its offset in seconds.
func (r rows) written() (all []string) {
	for _, row := range r {
		if row.Kind == record.Write {
			all = append(all, fmt.Sprintf("%.2f %s", row.To.Seconds(), row.Detail))
		}
	}
	return all
}

func TestKeyRotationIsHarmless(t *testing.T) {
	for _, kind := range []string{"ec", "rsa", "ed25519"} {
		t.Run(kind, func(t *testing.T) {
			s := safe()
			s.kind, s.faults = kind, []string{rotate}
			got := perform(t, s.plan(t))
			assert.Equal(t, map[record.Outcome]int64{record.OK: 2 * 8 * 3600}, got.requests())
			assert.Equal(t, []string{
				"0.00 r1*", "600.05 r1* r2", "1200.05 r1 r2*", "2400.05 r2*",
			}, got.written())
			assert.Equal(t, []string{"the Secret holds r1* r2"}, got.proofs("rotateKeys[0]/rotate"))
			assert.Len(t, got.reloads("jwt/r2"), 10, "every pod has the new primary in the end")
		})
	}
}

// Symmetric keys are in no JWKS, so all verifiers mount them.
func TestSymmetricKeyRotationIsHarmless(t *testing.T) {
	s := safe()
	s.kind, s.faults = "symmetric", []string{rotate}
	s.edit = strings.NewReplacer(
		"replicas: 4, leeway: $(leeway), jwks: {from: auth, policy: max-age, maxAge: 2m}",
		"replicas: 4, leeway: $(leeway), secret: jwt")
	assert.Equal(t, map[record.Outcome]int64{record.OK: 2 * 8 * 3600},
		perform(t, s.plan(t)).requests())
}

// TestMetamorphicPublishToSign: at or above the bound from a write to its use everywhere no token
// is refused; below it some are, the more the shorter the wait.
func TestMetamorphicPublishToSign(t *testing.T) {
	refused := func(wait time.Duration) (n int64) {
		for seed := range seeds(3) {
			s := safe()
			s.promoteAfter, s.faults, s.seed = wait, []string{rotate}, seed
			n += perform(t, s.plan(t)).refused()
		}
		return n
	}
	bound := safe().plan(t).Bound()
	require.Equal(t, 511300*time.Millisecond, bound, "1.5 x 60s + 1.3s + 5m, and 2m of JWKS")
	assert.Zero(t, refused(bound))
	assert.Zero(t, refused(2*bound))
	last := int64(0)
	for _, seconds := range []int{200, 150, 100, 60, 30, 0} {
		got := refused(time.Duration(seconds) * time.Second)
		assert.GreaterOrEqual(t, got, last, "%ds", seconds)
		last = got
	}
	assert.Positive(t, last)
}

// TestMetamorphicSignToDrop is the same for the old key, which must outlive the last token that an
// issuer signed with it: its bound, and the life of a token.
func TestMetamorphicSignToDrop(t *testing.T) {
	refused := func(wait time.Duration) (n int64) {
		for seed := range seeds(3) {
			s := safe()
			s.retireAfter, s.faults, s.seed = wait, []string{rotate}, seed
			n += perform(t, s.plan(t)).refused()
		}
		return n
	}
	plan := safe().plan(t)
	bound := plan.BoundOf("auth") + 5*time.Minute
	assert.Zero(t, refused(bound))
	assert.Zero(t, refused(2*bound))
	last := int64(0)
	for _, seconds := range []int{400, 300, 200, 100, 0} {
		got := refused(time.Duration(seconds) * time.Second)
		assert.GreaterOrEqual(t, got, last, "%ds", seconds)
		last = got
	}
	assert.Positive(t, last)
}

// A verifier whose clock is ahead refuses each token at the end of its life, one that is behind at
// its beginning, for as long as leeway does not cover.
func TestSkewedClockOfAVerifier(t *testing.T) {
	for _, c := range []struct {
		by      string
		outcome record.Outcome
	}{{"3m", record.TokenExpired}, {"-3m", record.TokenNotYetValid}} {
		s := safe()
		s.faults = []string{
			"at: 10m, skewClock: {workload: api, podNames: [api-1], by: " + c.by + "}",
		}
		got := perform(t, s.plan(t)).requests()
		// Of every 300s of a token's life 3m - 60s are refused, a second more at the end since
		// dates are rounded down, over 50m, by 2 issuers that call the pod once a second.
		assert.InDelta(t, 2*50*60*(120./300), got[c.outcome], 2*50*60/300.+2, "%s", c.by)
		assert.Equal(t, int64(2*8*3600), got[c.outcome]+got[record.OK])

		s.leeway = "181s" // dates in tokens are rounded down to a second
		assert.Equal(t, map[record.Outcome]int64{record.OK: 2 * 8 * 3600},
			perform(t, s.plan(t)).requests(), "%s: what leeway covers harms nobody", c.by)
	}
}

func TestHardSwapRefusesUntilAllFollow(t *testing.T) {
	s := safe()
	s.faults = []string{"at: 10m, replaceKeys: {secret: jwt}"}
	got := perform(t, s.plan(t))
	assert.Equal(t, []string{"0.00 r1*", "600.00 r2*"}, got.written())
	assert.Positive(t, got.requests()[record.UnknownKid])
	last := time.Duration(0)
	for _, row := range got {
		if row.Kind == record.Request && row.Outcome.Failed() {
			assert.Equal(t, record.Server, row.Side)
			assert.NotContains(t, row.Other.Trust, row.Own.Leaf)
			last = max(last, row.To)
		}
	}
	plan := s.plan(t)
	assert.Less(t, last, 10*time.Minute+plan.Bound()+5*time.Minute)
}

// A ring that is no ring harms nobody who has a good one, and everybody who starts.
func TestSpoiledRing(t *testing.T) {
	for how, files := range map[string]string{
		scenarios.TwoPrimaries: "r1.private.primary, r1.public.primary, " +
			"r2.private.primary, r2.public.primary",
		scenarios.NoPrimary: "r1.private, r1.public",
	} {
		s := safe()
		spoil := "at: 10m, spoilKeys: {secret: jwt, how: " + how + ", for: 10m}"
		s.faults = []string{spoil}
		got := perform(t, s.plan(t))
		assert.Zero(t, got.refused(), how)
		assert.Equal(t, []string{"the Secret holds " + files}, got.proofs("spoilKeys[0]/spoil"))
		assert.Len(t, got.proofs("spoilKeys[0]/mend"), 1)

		s.faults = []string{spoil, "at: 15m, restart: {workload: auth, podNames: [auth-0]}"}
		got = perform(t, s.plan(t))
		refused := got.requests()[record.NoPrimary]
		assert.InDelta(t, 8*(300+38), refused, 8*60, "%s: until it is mended and delivered", how)
		for _, row := range got {
			if row.Outcome == record.NoPrimary {
				assert.Equal(t, "auth-0", row.Source)
				assert.Equal(t, record.Client, row.Side)
			}
		}
	}
}

// Of a pair of which the public part is missing, issuers sign with what nobody who mounts the
// Secret can verify; whoever fetches the JWKS has it from the issuers.
func TestHalfWrittenRing(t *testing.T) {
	s := safe()
	s.faults = []string{"at: 10m, spoilKeys: {secret: jwt, how: half-written, for: 15m}"}
	got := perform(t, s.plan(t))
	byPeer := map[string]int64{}
	for _, row := range got {
		if row.Outcome == record.UnknownKid && row.To > 20*time.Minute {
			byPeer[row.Peer[:len(row.Peer)-2]] += row.Count
		}
	}
	assert.Positive(t, byPeer["api"])
	assert.Less(t, byPeer["edge"], byPeer["api"]/2)

	s.kind = "symmetric"
	s.edit = strings.NewReplacer(
		"replicas: 4, leeway: $(leeway), jwks: {from: auth, policy: max-age, maxAge: 2m}",
		"replicas: 4, leeway: $(leeway), secret: jwt")
	assert.Zero(t, perform(t, s.plan(t)).refused(), "an empty file is no key to anybody")
}

func TestRollback(t *testing.T) {
	s := safe()
	s.faults = []string{"at: 5m, rotateKeys: {secret: jwt, rollbackAfter: 15m}"}
	got := perform(t, s.plan(t))
	assert.Zero(t, got.refused())
	assert.Equal(t, []string{
		"0.00 r1*", "300.05 r1* r2", "900.05 r1 r2*", "1200.05 r1* r2", "2400.05 r1*",
	}, got.written())
	assert.Equal(t, []string{"the Secret holds r1* r2"}, got.proofs("rotateKeys[0]/reject"))
}

// A killed operator resumes where it was, without a second rotation.
func TestKilledOperatorResumes(t *testing.T) {
	for _, at := range []string{"9m59s", "10m0s", "15m", "25m"} {
		s := safe()
		s.faults = []string{rotate, "at: " + at + ", operatorOutage: {for: 12m}"}
		got := perform(t, s.plan(t))
		assert.Zero(t, got.refused())
		down, err := time.ParseDuration(at)
		require.NoError(t, err)
		var steps []string
		for _, row := range got {
			if row.Kind == record.Write {
				steps = append(steps, row.Detail)
				assert.False(t, down < row.To && row.To < down+12*time.Minute,
					"%s at %s, and it is down from %s", row.Detail, row.To, at)
			}
		}
		assert.Equal(t, []string{"r1*", "r1* r2", "r1 r2*", "r2*"}, steps, at)
		assert.Equal(t, []string{"no operator runs"}, got.proofs("operatorOutage[1]/stop"))
		assert.Equal(t, []string{"an operator runs"}, got.proofs("operatorOutage[1]/start"))
	}
}

// Keys that are gone are not made anew: what they signed would have none.
func TestDeletedKeys(t *testing.T) {
	s := safe()
	s.faults = []string{
		"at: 10m, deleteSecret: {secret: jwt, for: 10m}",
		"at: 12m, restart: {workload: api, podNames: [api-0]}",
		"at: 25m, rotateKeys: {secret: jwt}",
	}
	got := perform(t, s.plan(t))
	assert.Zero(t, got.refused())
	assert.Equal(t, []string{
		"0.00 r1*", "600.00 deleted", "1200.00 r1*", "1500.05 r1* r2", "2100.05 r1 r2*",
		"3300.05 r2*",
	}, got.written())
	unreachable := got.requests()[record.Unreachable]
	assert.InDelta(t, 2*8*60, unreachable, 40, "one of 8 waits for its volume")
}

// Under the gate uptake a held kubelet holds the rotation, where a time would not.
func TestUptakeWaitsForAHeldNode(t *testing.T) {
	s := safe()
	s.promoteAfter = 0
	s.faults = []string{rotate, "at: 9m, holdSync: {node: two, for: 16m}"}
	byTime := perform(t, s.plan(t))
	assert.Positive(t, byTime.refused())

	s.edit = strings.NewReplacer("spec: {generate", "spec: {gate: uptake, consumers: {selector: "+
		"{matchExpressions: [{key: certquake.dev/workload, operator: In, values: [auth, api]}]}}, "+
		"generate", "maxAge: 2m", "maxAge: 1s")
	got := perform(t, s.plan(t))
	assert.Zero(t, got.refused())
	var promoted time.Duration
	for _, row := range got {
		if row.Kind == record.Write && row.Detail == "r1 r2*" {
			promoted = row.To
		}
	}
	assert.GreaterOrEqual(t, promoted, 25*time.Minute, "the node was held until then")
	assert.Less(t, promoted, 25*time.Minute+391*time.Second+16*time.Second)
}

// fetchesOf counts the fetches of a workload in a stretch, by outcome.
func (r rows) fetchesOf(workload string, from, to time.Duration) map[record.Outcome]int64 {
	out := map[record.Outcome]int64{}
	for _, row := range r {
		if row.Kind == record.Fetch && strings.HasPrefix(row.Source, workload) &&
			row.From >= from && row.To < to {
			out[row.Outcome] += row.Count
		}
	}
	return out
}

// Policies fetch as often as they say while nothing happens.
func TestFetchesWithoutARotation(t *testing.T) {
	for policy, want := range map[string]int64{
		"policy: max-age, maxAge: 2m":       4 * 30,
		"policy: background, interval: 10m": 4 * 6,
		"policy: refetch-on-unknown":        0,
		"policy: panva-jose":                4 * 6,
		"policy: smallrye":                  4 * 1,
		"policy: max-age, maxAge: 1ms":      4 * 2 * 3600,
	} {
		s := safe()
		s.policy = policy
		got := perform(t, s.plan(t))
		assert.Zero(t, got.refused())
		assert.InDelta(t, want, got.fetchesOf("edge", 0, time.Hour)[record.OK], 4, policy)
	}
}

// An unknown kid has whoever may fetch do so before anything is refused.
func TestUnknownKidIsFetched(t *testing.T) {
	refusedBy := func(policy string) (refused int64) {
		s := safe()
		s.promoteAfter, s.faults, s.policy = 0, []string{rotate}, policy
		s.edit = strings.NewReplacer("replicas: 2, secret", "replicas: 1, secret")
		for _, row := range perform(t, s.plan(t)) {
			if row.Outcome.Credential() && strings.HasPrefix(row.Peer, "edge") {
				refused += row.Count
			}
		}
		return refused
	}
	assert.Zero(t, refusedBy("policy: refetch-on-unknown"))
	long := refusedBy("policy: refetch-with-cooldown, cooldown: 10m, maxAge: 10m")
	short := refusedBy("policy: refetch-with-cooldown, cooldown: 30s, maxAge: 10m")
	none := refusedBy("policy: max-age, maxAge: 10m")
	assert.LessOrEqual(t, short, long)
	assert.LessOrEqual(t, long, none)
	assert.Positive(t, none)
}

// Verifiers that cannot reach the issuers go on with what they have, unless they drop it.
func TestIssuersOutOfReach(t *testing.T) {
	cut := []string{
		"at: 10m, disturbNetwork: {workload: edge, podNames: [edge-0], cut: true, for: 20m}",
	}
	s := safe()
	s.faults, s.policy = cut, "policy: background, interval: 2m"
	kept := perform(t, s.plan(t))
	assert.Zero(t, kept.refused())
	lost := kept.fetchesOf("edge-0", 10*time.Minute, 30*time.Minute)
	assert.Equal(t, map[record.Outcome]int64{record.Timeout: 10}, lost)

	s = safe()
	s.policy = "policy: max-age, maxAge: 2m, dropStale: true, retry: 10s"
	s.faults = []string{"at: 10m, restart: {workload: auth, podNames: [auth-0, auth-1], " +
		"mode: container, downtime: 10m}"}
	got := perform(t, s.plan(t))
	assert.Zero(t, got.requests()[record.UnknownKid])
	failed := got.fetchesOf("edge", 10*time.Minute, 20*time.Minute)
	assert.Empty(t, failed, "nobody calls, so nobody asks for keys")
}

func TestRestartedVerifierFetchesAnew(t *testing.T) {
	s := safe()
	s.faults = []string{"at: 10m, restart: {workload: edge, podNames: [edge-1], downtime: 5s}"}
	got := perform(t, s.plan(t))
	assert.Zero(t, got.refused())
	var begun []time.Duration
	for _, row := range got {
		if row.Kind == record.Fetch && row.Source == "edge-1" && row.From > 10*time.Minute {
			begun = append(begun, row.From)
		}
	}
	require.Len(t, begun, 1)
	assert.InDelta(t, 605, begun[0].Seconds(), 5, "as it starts")
}

// A program that reads its keys once never sees a rotation.
func TestReadOnce(t *testing.T) {
	s := safe()
	s.issuer, s.faults = "tokenTTL: 5m, readOnce: true", []string{rotate}
	got := perform(t, s.plan(t))
	var first time.Duration
	for _, row := range got {
		if row.Outcome == record.UnknownKid && (first == 0 || row.From < first) {
			first = row.From
		}
	}
	assert.Greater(t, first, 40*time.Minute, "its key is accepted until it is dropped")
	assert.Positive(t, got.requests()[record.UnknownKid])
}

func TestTokensOfTheSameSeedGiveTheSameBytes(t *testing.T) {
	write := func(seed uint64) []byte {
		s := safe()
		s.seed, s.promoteAfter = seed, time.Minute
		s.faults = []string{
			rotate, "at: 12m, restart: {workload: auth, pods: 1}",
			"at: 13m, restart: {workload: edge, pods: 2}",
			"at: 14m, skewClock: {workload: api, pods: 1, by: 4m}",
		}
		return recorded(t, s.plan(t))
	}
	first := write(7)
	assert.Greater(t, len(first), 10_000)
	assert.Equal(t, first, write(7))
	assert.NotEqual(t, first, write(8))
}
