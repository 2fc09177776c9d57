package bearer_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/harness/record"
	"github.com/certquake/certquake/workloads/token"
)

// late is by how much something may be done at another time than it is due on a busy machine.
const late = 300 * time.Millisecond

// first returns the offset of the first of the rows that is.
func first(t *testing.T, rows []record.Span, is func(record.Span) bool) time.Duration {
	t.Helper()
	for _, row := range rows {
		if is(row) {
			return row.From
		}
	}
	require.Fail(t, "no such row")
	return 0
}

func spans(o *output, kind record.Kind) []record.Span {
	var all []record.Span
	for _, r := range o.of(kind) {
		all = append(all, r.Span)
	}
	return all
}

// At offset 0 a token has been in use for a while, so the next is signed sooner; the one after that
// is signed a whole Reuse later.
func TestTokenAge(t *testing.T) {
	t.Parallel()
	made := newKeys(t, "r1", "r2", "r3")
	near, far := newMount(t, made.files("r1*")), newMount(t, made.files("r1*"))
	called := newVerifier(t, far)
	called.KeyringTTL = -1
	issuing := newIssuer(t, near, 10*time.Millisecond, called)
	issuing.KeyringTTL, issuing.Reuse = time.Millisecond, 1200*time.Millisecond
	issuing.TokenAge = 800 * time.Millisecond
	issuer, verifier := start(t, issuing), start(t, called)
	begin(t, issuer, verifier)
	time.Sleep(250 * time.Millisecond)
	near.project(t, made.files("r1 r2*"))
	require.Eventually(t, func() bool { return len(issuer.output.of(record.Request)) > 1 },
		10*time.Second, time.Millisecond)
	near.project(t, made.files("r2 r3*"))
	ended(t, issuer)
	calls := spans(issuer.output, record.Request)
	second := first(t, calls, func(s record.Span) bool { return s.Outcome == record.UnknownKid })
	assert.InDelta(t, 400*time.Millisecond, second, float64(late))
	third := first(t, calls, func(s record.Span) bool {
		return s.Own != nil && s.Own.Leaf == "jwt/r3"
	})
	assert.InDelta(t, 1600*time.Millisecond, third, float64(late))
}

// So have fetched keys, and a ring that was read.
func TestKeysAge(t *testing.T) {
	t.Parallel()
	made := newKeys(t, "r1", "r2")
	m := newMount(t, made.files("r1*"))
	issuing := newIssuer(t, m, 20*time.Millisecond)
	fetching := newFetcher(t, &issuing, token.Policy{Kind: token.Background, Interval: time.Second})
	fetching.KeysAge = 400 * time.Millisecond
	mounted := newVerifier(t, m)
	mounted.KeyringTTL, mounted.CacheAge = time.Second, 600*time.Millisecond
	issuing = newIssuerTo(issuing, mounted, fetching)
	issuer, fetcher, verifier := start(t, issuing), start(t, fetching), start(t, mounted)
	begin(t, issuer, fetcher, verifier)
	time.Sleep(200 * time.Millisecond)
	m.project(t, made.files("r1* r2"))
	ended(t, issuer, fetcher, verifier)
	fetches := spans(fetcher.output, record.Fetch)
	require.Len(t, fetches, 2, "the first was before the record began")
	assert.InDelta(t, 600*time.Millisecond, fetches[0].From, float64(late))
	assert.InDelta(t, time.Second, fetches[1].From-fetches[0].From, float64(late))
	reloads := spans(verifier.output, record.Reload)
	require.Len(t, reloads, 2)
	assert.InDelta(t, 400*time.Millisecond, reloads[1].To, float64(late))
	assert.Equal(t, map[record.Outcome]int64{record.OK: 100}, issuer.output.calls())
}
