package reports

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/scenarios"
	"github.com/certquake/certquake/workloads/token"
)

func TestRotationOfKeysThatGoesWell(t *testing.T) {
	r := newTokenScene().judge(t)
	assert.Empty(t, failing(r))
	got := verdicts(r)
	for id, want := range map[scenarios.CheckID]string{
		scenarios.NewConnections: "none of 3,600 calls failed for a credential reason",
		scenarios.Associations:   "no workload keeps associations, so none could be lost",
		scenarios.Validity:       "none of 3,600 calls met a token outside its validity",
		scenarios.TrustGap:       "3,600 calls, and each verifier had the token's key",
		scenarios.StaleTrust: "a key was withdrawn once; no pod trusted it longer than the bound " +
			"of 1m28.3s",
		scenarios.TornPair: "no workload has certificates, so none could have another's key",
		// Three writes to each of two pods, and two that change what edge verifies with.
		scenarios.Propagation: "8 propagations to a pod, each within the bound of 1m28.3s",
		scenarios.Accounting:  "3,600 scheduled = 3,600 ok + 0 failed + 0 skipped",
		scenarios.Proof:       "1 action planned, each seen to take effect within 0s of being due",
	} {
		assert.Equal(t, want, got[id].Reason)
	}
	assert.Equal(t, "PASS: all 10 checks hold, over 3,600 calls and 8 propagations.", r.Sentence())
	assert.InDelta(t, 86.3, float64(r.Bound), 0)
}

// Each outcome of a call counts where it belongs, told in words that fit tokens.
func TestFailedCalls(t *testing.T) {
	for _, row := range []struct {
		outcome      record.Outcome
		peer         string
		signed, held string
		fails        []scenarios.CheckID
		told         string
	}{
		{
			record.UnknownKid, "edge-0", "r2", "r1*",
			[]scenarios.CheckID{scenarios.NewConnections, scenarios.TrustGap},
			"auth-0 -> edge-0 at 16m (unknown-kid: edge-0, which had jwt/r1, was shown a token " +
				"signed by jwt/r2)",
		},
		{
			record.BadSignature, "api-0", "r2", "r1 r2*",
			[]scenarios.CheckID{scenarios.NewConnections, scenarios.TrustGap},
			"auth-0 -> api-0 at 16m (bad-signature: api-0, which had jwt/r1 and jwt/r2, was " +
				"shown a token signed by jwt/r2)",
		},
		{
			record.TokenExpired, "api-0", "r1", "r1*",
			[]scenarios.CheckID{scenarios.NewConnections, scenarios.Validity},
			"(token-expired: api-0, which had jwt/r1, was shown a token signed by jwt/r1)",
		},
		{
			record.TokenNotYetValid, "api-0", "r1", "r1*",
			[]scenarios.CheckID{scenarios.NewConnections, scenarios.Validity},
			"(token-not-yet-valid: ",
		},
		{
			record.TokenRefused, "api-0", "r1", "r1*",
			[]scenarios.CheckID{scenarios.NewConnections},
			"(token-refused: ",
		},
		{
			record.NoKeys, "edge-0", "r1", "",
			[]scenarios.CheckID{scenarios.NewConnections},
			"(no-keys: edge-0 had no keys that it could use)",
		},
		{
			record.NoPrimary, "edge-0", "", "r1",
			[]scenarios.CheckID{scenarios.NewConnections},
			"(no-primary: auth-0 had no key to sign with)",
		},
	} {
		t.Run(string(row.outcome), func(t *testing.T) {
			s := newTokenScene()
			s.refuse(row.peer, signAt+time.Minute, 20, row.outcome, row.signed, row.held)
			r := s.judge(t)
			assert.Equal(t, row.fails, failing(r))
			assert.Contains(t, verdicts(r)[scenarios.NewConnections].Reason, row.told)
			assert.Contains(t, verdicts(r)[row.fails[len(row.fails)-1]].Reason, row.told)
		})
	}
}

func TestTrustGapOfTokens(t *testing.T) {
	s := newTokenScene()
	s.refuse("edge-0", signAt, 20, record.UnknownKid, "r2", "r1*")
	assert.Equal(t, "20 attempts met a verifier without the token's key, from 15m to 15m38s; the "+
		"first was auth-0 -> edge-0 at 15m (unknown-kid: edge-0, which had jwt/r1, was shown a "+
		"token signed by jwt/r2)", verdicts(s.judge(t))[scenarios.TrustGap].Reason)
}

// A handshake with a bad signature is of a torn pair, a call with one is not.
func TestBadSignatureInAMixedRun(t *testing.T) {
	s := newMixedScene()
	s.refuse("api-0", signAt, 20, record.BadSignature, "r2", "r1 r2*")
	got := verdicts(s.judge(t))
	assert.Equal(t, Pass, got[scenarios.TornPair].Status)
	assert.Contains(t, got[scenarios.TrustGap].Reason,
		"20 attempts met a verifier without the token's key, from 15m")

	s = newMixedScene()
	s.fail("p-0", "p-1", signAt, 20, record.BadSignature, gen("s/2", "root/1"),
		gen("s/2", "root/1"))
	got = verdicts(s.judge(t))
	assert.Equal(t, Fail, got[scenarios.TornPair].Status)
	assert.Equal(t, Pass, got[scenarios.TrustGap].Status)

	s.refuse("api-0", signAt, 20, record.UnknownKid, "r2", "r1*")
	s.fail("p-0", "p-1", signAt, 20, record.UnknownAuthority, nil, nil)
	assert.Contains(t, verdicts(s.judge(t))[scenarios.TrustGap].Reason, "40 attempts met a CA "+
		"that the other end did not trust or a verifier without the token's key, from 15m")
}

func TestTooFewCalls(t *testing.T) {
	s := newTokenScene()
	s.plan.Streams = nil
	s.without(func(row record.Span) bool { return row.Kind == record.Request })
	assert.Equal(t, "no load: the scenario schedules no calls",
		verdicts(s.judge(t))[scenarios.TrustGap].Reason)

	s = newTokenScene()
	s.plan.Actions[0].At = s.plan.Horizon - 21*time.Second
	assert.Equal(t, "only 20 calls made after 59m39s, fewer than the 30 needed (2 ordered pairs)",
		verdicts(s.judge(t))[scenarios.TrustGap].Reason)
}

// Only who verifies can trust a key for too long, and how long that is follows from how it has its
// keys.
func TestStaleKeys(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*scene)
		fails  bool
		reason string
	}{
		{
			"a verifier", func(s *scene) { s.later("api-0", dropAt, dropAt+27*time.Second) }, true,
			"1 pod trusted a withdrawn key beyond the bound; the longest was jwt/r1, withdrawn " +
				"at 35m and trusted by api-0 for 27s after that (bound 26.3s)",
		},
		{
			"an issuer", func(s *scene) { s.later("auth-0", dropAt, dropAt+27*time.Minute) }, false,
			"a key was withdrawn once; no pod trusted it longer than the bound of 1m28.3s",
		},
		{
			"a verifier, while a ring is spoilt", func(s *scene) {
				s.later("api-0", dropAt, dropAt+time.Minute)
				s.rings(dropAt+10*time.Second, "r1* r2*")
			}, true,
			"trusted by api-0 for 1m after that (bound 26.3s)",
		},
		{
			"a JWKS just in time",
			func(s *scene) { s.later("edge-0", dropAt, dropAt+88*time.Second) }, false,
			"bound of 1m28.3s",
		},
		{
			"a JWKS too late",
			func(s *scene) { s.later("edge-0", dropAt, dropAt+90*time.Second) }, true,
			"trusted by edge-0 for 1m30s after that (bound 1m28.3s)",
		},
		{
			"a JWKS that is fetched when a key is unknown", func(s *scene) {
				s.plan.Tokens[2].JWKS.Kind = string(token.RefetchOnUnknown)
				s.plan.Tokens[2].JWKS.MaxAge = 0
				s.without(func(r record.Span) bool {
					return r.Kind == record.Reload && r.Source == "edge-0" && r.From == dropAt
				})
			}, true,
			"trusted by edge-0 for 25m after that (bound 26.3s)",
		},
		{
			"a JWKS that is fetched in the background", func(s *scene) {
				s.plan.Tokens[2].JWKS.Kind = string(token.Background)
				s.plan.Tokens[2].JWKS.MaxAge, s.plan.Tokens[2].JWKS.Interval = 0, time.Minute
			}, false,
			"bound of 1m26.3s",
		},
		{
			"a JWKS of one who is never called", func(s *scene) {
				s.plan.Streams[0].To = []string{"api"}
				s.without(func(r record.Span) bool {
					return r.Kind == record.Reload && r.Source == "edge-0" && r.From > 0
				})
			}, false,
			"bound of 26.3s",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newTokenScene()
			row.change(s)
			status, reason := checkStaleTrust(s.analyse(t, false))
			assert.Equal(t, row.fails, status == Fail, reason)
			assert.Contains(t, reason, row.reason)
		})
	}
}

// A new key that nobody needs yet is not fetched by all, and the key that signs is none of a JWKS.
func TestPropagationOfKeys(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*scene)
		fails  bool
		reason string
	}{
		{
			"an issuer too late",
			func(s *scene) { s.later("auth-0", signAt, signAt+27*time.Second) }, true,
			"1 of 8 propagations to a pod came later than the bound; the worst was jwt: r1 r2*, " +
				"written at 15m, which reached auth-0 after 27s; its bound is 26.3s",
		},
		{
			"a JWKS too late",
			func(s *scene) { s.later("edge-0", publishAt, publishAt+2*time.Minute) }, true,
			"the worst was jwt: r1* r2, written at 10m, which reached edge-0 after 2m; its bound " +
				"is 1m28.3s",
		},
		{
			"a JWKS without news of the primary", func(s *scene) {
				s.without(func(r record.Span) bool {
					return r.Kind == record.Reload && r.Source == "edge-0" && r.From == signAt
				})
			}, false, "8 propagations to a pod",
		},
		{
			"a JWKS that is fetched when a key is unknown", func(s *scene) {
				s.plan.Tokens[2].JWKS.Kind = string(token.RefetchOnUnknown)
				s.plan.Tokens[2].JWKS.MaxAge = 0
				s.without(func(r record.Span) bool {
					return r.Kind == record.Reload && r.Source == "edge-0" && r.From == publishAt
				})
			}, false, "6 propagations to a pod, each within the bound of 26.3s",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newTokenScene()
			row.change(s)
			status, reason := checkPropagation(s.analyse(t, false))
			assert.Equal(t, row.fails, status == Fail, reason)
			assert.Contains(t, reason, row.reason)
		})
	}
}

// What is no key ring withdraws no key, and nobody need use it.
func TestSpoiltRings(t *testing.T) {
	for name, spoilt := range map[string]string{
		"two primaries": "r2* r3*", "no primary": "r2 r3", "empty": "", "half-written": "r2 r3*",
	} {
		t.Run(name, func(t *testing.T) {
			s := newTokenScene()
			s.plan.Actions = append(s.plan.Actions, scenarios.Action{
				ID: "spoilKeys[1]/spoil", At: 40 * time.Minute, Verb: scenarios.SpoilKeys,
				Secrets: []string{"default/jwt"},
			}, scenarios.Action{
				ID: "spoilKeys[1]/mend", At: 50 * time.Minute, Verb: scenarios.MendKeys,
				Secrets: []string{"default/jwt"},
			})
			s.rings(40*time.Minute, spoilt)
			s.provedOf("spoilKeys[1]/spoil", 40*time.Minute+ms)
			s.rings(50*time.Minute, "r2*")
			s.provedOf("spoilKeys[1]/mend", 50*time.Minute)
			r := s.judge(t)
			assert.Empty(t, failing(r))
			got := verdicts(r)
			assert.Contains(t, got[scenarios.StaleTrust].Reason, "a key was withdrawn once; ")
			steps := r.Keys.Secrets[0].Steps
			assert.Len(t, steps, 6)
			assert.False(t, steps[4].Usable)
			assert.True(t, steps[3].Usable && steps[5].Usable)
			assert.InDelta(t, 300, float64(*r.Keys.Secrets[0].Margins[0].Seen), 0)
		})
	}
}

// A call may wait for a fetch of keys, so that trouble between the two ends of the fetch explains
// its having no answer.
func TestCallsThatWaitForAFetch(t *testing.T) {
	for _, row := range []struct {
		name      string
		cut       string // whose network
		peer      string
		explained bool
	}{
		{"the issuer of the keys", "auth-1", "edge-0", true},
		{"somebody else", "api-0", "edge-0", false},
		{"a verifier that fetches nothing", "auth-1", "api-0", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newTokenScene()
			s.plan.Pods = append(s.plan.Pods,
				scenarios.Pod{Name: "auth-1", Workload: "auth", Node: "n"})
			s.use("auth-1", 0, 0, ring("r1*"))
			s.plan.Actions = append(s.plan.Actions, scenarios.Action{
				ID: "disturbNetwork[1]/disturb", At: 40 * time.Minute,
				Verb: scenarios.DisturbNetwork, Pods: []string{row.cut},
				Network: &scenarios.NetworkTrouble{Cut: true},
			}, scenarios.Action{
				ID: "disturbNetwork[1]/restore", At: 45 * time.Minute,
				Verb: scenarios.RestoreNetwork, Pods: []string{row.cut},
			})
			s.refuse(row.peer, 41*time.Minute, 10, record.Timeout, "r2", "r2*")
			status, reason := checkNewConnections(s.analyse(t, false))
			assert.Equal(t, row.explained, status == Pass, reason)
		})
	}
}

// The fault of an order is over with the last step of the rotation, and not with the order. From
// there on the bound counts, and the 5m for which a token is called with.
func TestRecoveryAfterARotation(t *testing.T) {
	for at, want := range map[time.Duration]struct {
		status Status
		reason string
	}{
		dropAt: {
			Pass, "the last credential failure was at 35m18s, 18s after the last fault ended; " +
				"the bound is 6m26.3s after 35m",
		},
		dropAt + 380*time.Second: {
			Fail, "credential failures went on until 41m38s, 6m38s after the last fault ended at " +
				"35m (bound 6m26.3s); one of them was auth-0 -> edge-0 at 41m20s",
		},
	} {
		s := newTokenScene()
		s.refuse("edge-0", at, 10, record.UnknownKid, "r1", "r2*")
		s.rings(50*time.Minute, "r2* r3") // of another rotation
		status, reason := checkRecovery(s.analyse(t, false))
		assert.Equal(t, want.status, status)
		assert.Contains(t, reason, want.reason)
	}
}
