package bearer_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/peer"
	"github.com/certquake/certquake/workloads/token"
)

// A rotation in three steps, each delivered before the next, fails no call, whichever way a
// verifier has its keys.
func TestRotation(t *testing.T) {
	t.Parallel()
	made := newKeys(t, "r1", "r2")
	m := newMount(t, made.files("r1*"))
	issuing := newIssuer(t, m, 10*time.Millisecond)
	mounted := newVerifier(t, m)
	fetching := newFetcher(t, &issuing, token.Policy{
		Kind: token.RefetchOnUnknown, MaxAge: 100 * time.Millisecond,
	})
	issuing.Reuse = 100 * time.Millisecond
	issuing = newIssuerTo(issuing, mounted, fetching)
	issuer, verifier, fetcher := start(t, issuing), start(t, mounted), start(t, fetching)
	begin(t, issuer, verifier, fetcher)
	for _, ring := range []string{"r1* r2", "r1 r2*", "r2*"} {
		time.Sleep(450 * time.Millisecond)
		m.project(t, made.files(ring))
	}
	ended(t, issuer, verifier, fetcher)

	assert.Equal(t, map[record.Outcome]int64{record.OK: 199}, issuer.output.calls())
	want := []record.Generation{
		*generation("r1*"), *generation("r1* r2"), *generation("r1 r2*"), *generation("r2*"),
	}
	for _, p := range []*pod{issuer, verifier, fetcher} {
		assert.Equal(t, want, p.output.rings(), p.config.Pod)
	}
	reloads := verifier.output.of(record.Reload)
	assert.Zero(t, reloads[0].Span.To)
	for _, r := range reloads[1:] {
		assert.Positive(t, r.Span.Projected)
		assert.Less(t, r.Span.To-r.Span.Projected, time.Second)
	}
	for _, r := range fetcher.output.of(record.Fetch) {
		assert.Equal(t, record.OK, r.Span.Outcome, r.Span.Detail)
		assert.Equal(t, "issuer-0", r.Span.Peer)
		assert.Contains(t, want, *r.Span.Own)
	}
	assert.Greater(t, len(fetcher.output.of(record.Fetch)), 5)
	for _, r := range fetcher.output.of(record.Reload) {
		assert.Zero(t, r.Span.Projected)
	}
	assert.Equal(t, []string{`certquake_keyring_info{ids="r2",primary="r2",secret="jwt"} 1`},
		verifier.series("certquake_keyring_info"))
	assert.Equal(t, []string{`certquake_requests_total{outcome="ok",role="client"} 199`},
		issuer.series("certquake_requests_total"))
	assert.Empty(t, fetcher.series("certquake_keyring_info"), "it mounts nothing")
}

// A key that signs before verifiers have it is unknown to them; both ends' keys are told.
func TestUnknownKey(t *testing.T) {
	t.Parallel()
	made := newKeys(t, "r1", "r2")
	near, far := newMount(t, made.files("r2*")), newMount(t, made.files("r1*"))
	called := newVerifier(t, far)
	called.KeyringTTL = -1
	issuer, verifier := start(t, newIssuer(t, near, 100*time.Millisecond, called)), start(t, called)
	begin(t, issuer, verifier)
	ended(t, issuer)
	rows := issuer.output.of(record.Request)
	require.Len(t, rows, 20)
	for i, r := range rows {
		at := time.Duration(i)*100*time.Millisecond + 10*time.Millisecond
		assert.Equal(t, record.Span{
			Kind: record.Request, From: at, To: at, Source: "issuer-0", Peer: "verifier-0",
			Outcome: record.UnknownKid, Count: 1, Side: record.Server,
			Own: generation("r2*"), Other: generation("r1*"),
		}, r.Span)
	}
}

// Another key of the same id is not taken by those who hold the first, whose signatures it breaks.
func TestAnotherKeyOfTheSameID(t *testing.T) {
	t.Parallel()
	near := newMount(t, newKeys(t, "r1").files("r1*"))
	far := newMount(t, newKeys(t, "r1").files("r1*"))
	called := newVerifier(t, far)
	issuer, verifier := start(t, newIssuer(t, near, 100*time.Millisecond, called)), start(t, called)
	begin(t, issuer, verifier)
	ended(t, issuer)
	assert.Equal(t, map[record.Outcome]int64{record.BadSignature: 20}, issuer.output.calls())
}

// Without a ring nothing is signed, and nothing verified; a row tells why.
func TestNoRing(t *testing.T) {
	t.Parallel()
	made := newKeys(t, "r1", "r2")
	good, bad := newMount(t, made.files("r1*")), newMount(t, made.files("r1* r2*"))
	for name, test := range map[string]struct {
		near, far *mount
		want      record.Outcome
		side      record.Side
	}{
		"issuer":   {bad, good, record.NoPrimary, record.Client},
		"verifier": {good, bad, record.NoKeys, record.Server},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			called := newVerifier(t, test.far)
			issuer := start(t, newIssuer(t, test.near, 200*time.Millisecond, called))
			verifier := start(t, called)
			begin(t, issuer, verifier)
			ended(t, issuer, verifier)
			assert.Equal(t, map[record.Outcome]int64{test.want: 10}, issuer.output.calls())
			assert.Equal(t, test.side, issuer.output.of(record.Request)[0].Span.Side)
			spoilt := map[bool]*pod{true: issuer, false: verifier}[test.near == bad]
			rows := spoilt.output.of(record.Reload)
			require.Len(t, rows, 1, "what goes on is told once")
			assert.Equal(t, record.NoCredential, rows[0].Span.Outcome)
			assert.Equal(t, "two-primaries", rows[0].Span.Detail)
		})
	}
}

// A clock that is set off is what tokens are signed and judged by.
func TestClock(t *testing.T) {
	t.Parallel()
	m := newMount(t, newKeys(t, "r1").files("r1*"))
	called := newVerifier(t, m)
	issuer, verifier := start(t, newIssuer(t, m, 100*time.Millisecond, called)), start(t, called)
	verifier.post(t, peer.PathClock, peer.Clock{Skew: 2 * time.Minute})
	base := time.Now().Add(100 * time.Millisecond)
	issuer.post(t, peer.PathBegin, peer.Begin{Base: base, Fresh: true})
	verifier.post(t, peer.PathBegin, peer.Begin{Base: base, Fresh: true, Skew: 2 * time.Minute})
	ended(t, issuer)
	assert.Equal(t, map[record.Outcome]int64{record.TokenExpired: 20}, issuer.output.calls())
}

// Nobody at the other end is told apart from keys that are wrong, of calls and of fetches.
func TestNobody(t *testing.T) {
	t.Parallel()
	m := newMount(t, newKeys(t, "r1").files("r1*"))
	gone := newConfig(t, "gone", "")
	fetching := newFetcher(t, &gone, token.GoOIDC())
	issuing := newIssuer(t, m, 200*time.Millisecond, fetching, gone)
	issuer, fetcher := start(t, issuing), start(t, fetching)
	begin(t, issuer, fetcher)
	ended(t, issuer)
	assert.Equal(t, map[record.Outcome]int64{record.Unreachable: 5, record.NoKeys: 5},
		issuer.output.calls())
	fetches := fetcher.output.of(record.Fetch)
	require.NotEmpty(t, fetches)
	for _, r := range fetches {
		assert.Equal(t, record.Unreachable, r.Span.Outcome)
		assert.Nil(t, r.Span.Own)
	}
	assert.Empty(t, fetcher.output.of(record.Reload))
}

// A process that is restarted goes on with the schedule, signs anew, and says what it has read.
func TestRestart(t *testing.T) {
	t.Parallel()
	m := newMount(t, newKeys(t, "r1").files("r1*"))
	called := newVerifier(t, m)
	verifier := start(t, called)
	issuing := newIssuer(t, m, 50*time.Millisecond, called)
	first := start(t, issuing)
	begin(t, first, verifier)
	require.Eventually(t, func() bool { return first.output.calls()[record.OK] > 5 },
		10*time.Second, 5*time.Millisecond)
	first.post(t, peer.PathRestart, peer.Restart{})
	require.NoError(t, <-first.ended)
	second := start(t, issuing)
	ended(t, second)
	up := second.output.of(record.Up)
	require.Len(t, up, 1)
	down := first.output.of(record.Down)
	require.Len(t, down, 1)
	made := first.output.calls()[record.OK]
	assert.Equal(t, int64(40)-up[0].Due[0], second.output.calls()[record.OK])
	assert.LessOrEqual(t, made, up[0].Due[0])
	reloads := second.output.of(record.Reload)
	require.Len(t, reloads, 1)
	assert.Equal(t, reloads[0].Span.To, reloads[0].Span.Projected, "it is no news")
}

// The port for calls serves no keys of verifiers, and calls without a token are refused.
func TestStrangers(t *testing.T) {
	t.Parallel()
	m := newMount(t, newKeys(t, "r1").files("r1*"))
	called := newVerifier(t, m)
	verifier := start(t, called)
	begin(t, verifier)
	for _, path := range []string{"/", "/jwks.json"} {
		response, err := client().Get("http://" + called.Listen + path)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, http.StatusUnauthorized, response.StatusCode)
		assert.Equal(t, "token-refused", response.Header.Get("Certquake-Outcome"))
		assert.Equal(t, "jwt/r1", response.Header.Get("Certquake-Keys"))
	}
}
