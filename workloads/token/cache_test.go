package token_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/certquake/certquake/workloads/token"
)

var errDown = errors.New("the issuer is down")

// issuer is what a cache fetches from.
type issuer struct {
	set     *token.Set
	down    bool
	fetches int
}

func (i *issuer) fetch(context.Context) (*token.Set, error) {
	i.fetches++
	if i.down {
		return nil, errDown
	}
	return i.set, nil
}

func newCache(tb testing.TB, p token.Policy, fetch token.Fetcher) *token.Cache {
	tb.Helper()
	cache, err := token.NewCache(p, fetch)
	require.NoError(tb, err)
	return cache
}

// step is a demand for a kid, or a tick if it is "", at an offset from start, and what comes of it.
type step struct {
	at      time.Duration
	kid     string
	change  func(i *issuer)
	fetches int  // that were made up to then
	refused bool // there is no set to use
	has     bool // the set has the kid
}

func TestPolicies(t *testing.T) {
	const sec, ms = time.Second, time.Millisecond
	one, two := setOf(t, token.ES256, "r1"), setOf(t, token.ES256, "r2", "r1")
	publish := func(i *issuer) { i.set = two }
	drop := func(i *issuer) { i.set = setOf(t, token.ES256, "r2") }
	fail := func(i *issuer) { i.down = true }
	background := token.Policy{Kind: token.Background, Interval: 60 * sec, Retry: 5 * sec}
	recoverIt := func(i *issuer) { i.down = false }
	for name, row := range map[string]struct {
		policy token.Policy
		steps  []step
	}{
		"max-age": {token.Policy{Kind: token.MaxAge, MaxAge: 10 * sec}, []step{
			{0, "", nil, 0, false, false},
			{0, "r1", nil, 1, false, true},
			{5 * sec, "r2", publish, 1, false, false}, // unknown for the rest of the age
			{10*sec - 1, "r2", nil, 1, false, false},
			{10 * sec, "r2", nil, 2, false, true},
			{20 * sec, "r1", fail, 3, false, true}, // the last good set stays
			{20 * sec, "r2", nil, 4, false, true},
			{99 * sec, "r1", recoverIt, 5, false, true},
			{99 * sec, "r1", nil, 5, false, true},
		}},
		"max-age that drops": {
			token.Policy{Kind: token.MaxAge, MaxAge: 10 * sec, Retry: sec, DropStale: true}, []step{
				{0, "r1", fail, 1, true, false},
				{sec - 1, "r1", nil, 1, true, false},
				{sec, "r1", recoverIt, 2, false, true},
				{11*sec - 1, "r1", fail, 2, false, true},
				{11 * sec, "r1", nil, 3, true, false},
				{12*sec - 1, "r1", recoverIt, 3, true, false},
				{12 * sec, "r1", nil, 4, false, true},
			},
		},
		"refetch": {token.GoOIDC(), []step{
			{0, "r1", nil, 1, false, true},
			{sec, "r3", nil, 2, false, false},
			{sec, "r3", nil, 3, false, false}, // each time
			{sec, "r2", publish, 4, false, true},
			{9 * sec, "r1", drop, 4, false, true}, // still verifies
			{time.Hour, "r1", nil, 4, false, true},
			{time.Hour, "r3", nil, 5, false, false},
			{time.Hour, "r1", nil, 6, false, false},
			{time.Hour, "r1", fail, 7, false, false},
		}},
		"refetch by age too": {token.Policy{Kind: token.RefetchOnUnknown, MaxAge: sec}, []step{
			{0, "r1", nil, 1, false, true},
			{999 * ms, "r1", nil, 1, false, true},
			{999 * ms, "r2", nil, 2, false, false},
			{1998 * ms, "r1", nil, 2, false, true},
			{1999 * ms, "r1", nil, 3, false, true},
		}},
		"cooldown": {token.PanvaJose(), []step{
			{0, "r1", nil, 1, false, true},
			{1, "r2", publish, 1, false, false}, // cooling down
			{30*sec - 1, "r2", nil, 1, false, false},
			{30 * sec, "r2", nil, 2, false, true},
			{60 * sec, "r1", nil, 2, false, true},
			{60 * sec, "r3", nil, 3, false, false},
			{89 * sec, "r3", nil, 3, false, false},
			{90 * sec, "r3", fail, 4, false, false},
			{90 * sec, "r3", nil, 5, false, false}, // only good fetches cool
			{91 * sec, "r1", nil, 5, false, true},
			{660*sec - 1, "r1", nil, 5, false, true},
			{660 * sec, "r1", nil, 6, true, false}, // stale, and not to be had
		}},
		"background": {background, []step{
			{0, "r1", fail, 1, true, false},
			{5*sec - 1, "r1", recoverIt, 1, true, false},
			{5 * sec, "r1", nil, 2, false, true},
			{6 * sec, "r2", publish, 2, false, false},
			{70 * sec, "r2", nil, 2, false, false}, // demands wait for the tick
			{70 * sec, "", nil, 3, false, false},
			{70 * sec, "r2", nil, 3, false, true},
			{130*sec - 1, "", nil, 3, false, false},
			{130 * sec, "", fail, 4, false, false},
			{135*sec - 1, "", nil, 4, false, false},
			{135 * sec, "", nil, 5, false, false},
			{135 * sec, "r2", nil, 5, false, true},
		}},
		"background without retry": {token.LestrratJWX(), []step{
			{0, "", fail, 1, false, false},
			{0, "", nil, 1, false, false}, // a loop of ticks would not end
			{time.Hour - 1, "", nil, 1, false, false},
			{time.Hour - 1, "r1", nil, 2, true, false}, // but a demand has no set yet
			{time.Hour - 1, "r1", recoverIt, 3, false, true},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			from := &issuer{set: one}
			cache := newCache(t, row.policy, from.fetch)
			for n, s := range row.steps {
				if s.change != nil {
					s.change(from)
				}
				now := start.Add(s.at)
				if s.kid == "" {
					cache.Tick(t.Context(), now)
					require.Equal(t, s.fetches, from.fetches, "step %d", n)
					continue
				}
				set, err := cache.Set(t.Context(), now, s.kid)
				require.Equal(t, s.fetches, from.fetches, "step %d", n)
				if s.refused {
					require.ErrorIs(t, err, errDown, "step %d", n)
					continue
				}
				require.NoError(t, err, "step %d", n)
				require.Equal(t, s.has, set.Has(s.kid), "step %d", n)
			}
			assert.Equal(t, from.fetches, cache.Status().State.Fetches)
		})
	}
}

// TestNext holds Next against Due: for any policy and past, what Next says is the first instant at
// which Due is true, and a tick that was made is not due again at once.
func TestNext(t *testing.T) {
	policies := []token.Policy{
		token.GoOIDC(), token.PanvaJose(), token.SmallRye(), token.Envoy(), token.LestrratJWX(),
		{Kind: token.RefetchOnUnknown, MaxAge: time.Minute, Retry: 90 * time.Second},
		{Kind: token.Background, Interval: time.Minute, Retry: time.Second},
	}
	rapid.Check(t, func(r *rapid.T) {
		p := rapid.SampledFrom(policies).Draw(r, "policy")
		require.NoError(r, p.Check())
		var s token.State
		now := start
		for range rapid.IntRange(0, 5).Draw(r, "fetches") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(r, "later")))
			s = s.After(now, rapid.SampledFrom([]error{nil, errDown}).Draw(r, "err"))
			at, ok := p.Next(s, token.NoDemand)
			require.Equal(r, p.Kind == token.Background, ok)
			require.True(r, !ok || at.After(now))
		}
		for _, d := range []token.Demand{token.NoDemand, token.DemandKnown, token.DemandUnknown} {
			at, ok := p.Next(s, d)
			later := now.Add(1000 * time.Hour)
			require.Equal(r, ok, p.Due(s, later, d))
			if ok {
				require.True(r, p.Due(s, at, d))
				require.False(r, p.Due(s, at.Add(-1), d))
			}
		}
		known, ok := p.Next(s, token.DemandKnown)
		unknown, okToo := p.Next(s, token.DemandUnknown)
		require.True(r, !ok || okToo && !unknown.After(known), "an unknown kid wants no less")
	})
}

func TestPolicyCheck(t *testing.T) {
	for want, p := range map[string]token.Policy{
		`policy ""`:                 {},
		`policy "lazy"`:             {Kind: "lazy"},
		"max age 0s: want more":     {Kind: token.MaxAge},
		"max age -1ns: want more":   {Kind: token.RefetchOnUnknown, MaxAge: -1},
		"cooldown 1ns: it has none": {Kind: token.RefetchOnUnknown, Cooldown: 1},
		"cooldown 0s: want more":    {Kind: token.RefetchWithCooldown},
		"interval 0s: want more":    {Kind: token.Background},
		"max age 1ns: it has none":  {Kind: token.Background, MaxAge: 1, Interval: 1},
		"interval 1ns: it has none": {Kind: token.MaxAge, MaxAge: 1, Interval: 1},
		"retry -1ns: want more":     {Kind: token.RefetchOnUnknown, Retry: -1},
		"unknown: max age 0s":       {Kind: token.RefetchOnUnknown, DropStale: true},
	} {
		_, err := token.NewCache(p, nil)
		require.ErrorContains(t, err, want)
	}
}

// TestSignBeforePublish is the rotation that goes wrong: the issuer signs with r2 as soon as its
// JWKS has it. A verifier is asked once a second, from a random moment of its cache's age on.
func TestSignBeforePublish(t *testing.T) {
	one, two := setOf(t, token.ES256, "r1"), setOf(t, token.ES256, "r2", "r1")
	for name, row := range map[string]struct {
		policy token.Policy
		lag    time.Duration
	}{
		"max-age":    {token.Envoy(), 10 * time.Minute},
		"refetch":    {token.GoOIDC(), 0},
		"cooldown":   {token.PanvaJose(), 30 * time.Second},
		"half hours": {token.SmallRye(), 30 * time.Minute},
		"background": {token.LestrratJWX(), time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, row.lag, row.policy.LagMax())
			const seed = 7
			t.Log("seed", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			some := false
			for range 5 {
				from := &issuer{set: one}
				cache := newCache(t, row.policy, from.fetch)
				rotation := time.Duration(random.Int64N(int64(2 * time.Hour)))
				// A JWKS that is published for so long before it signs is known to all.
				for _, lead := range []time.Duration{0, row.lag} {
					refused := refusals(t, cache, from, one, two, rotation, lead)
					assert.LessOrEqual(t, refused, row.lag)
					some = some || refused > 0
					if lead > 0 {
						assert.Zero(t, refused)
					}
					from.set, cache = one, newCache(t, row.policy, from.fetch)
				}
			}
			assert.Equal(t, row.lag > 0, some)
		})
	}
}

// refusals returns for how many seconds r2 was unknown after it signed.
func refusals(
	t *testing.T, cache *token.Cache, from *issuer, before, after *token.Set,
	publish, lead time.Duration,
) (refused time.Duration) {
	t.Helper()
	for at := time.Duration(0); at < publish+lead+2*time.Hour; at += time.Second {
		now, kid := start.Add(at), "r1"
		from.set = before
		if at >= publish {
			from.set = after
		}
		if at >= publish+lead {
			kid = "r2"
		}
		cache.Tick(t.Context(), now)
		set, err := cache.Set(t.Context(), now, kid)
		require.NoError(t, err)
		if !set.Has(kid) {
			refused += time.Second
		}
	}
	return refused
}

// TestStampede has a hundred tokens a second with made-up kids, for a minute.
func TestStampede(t *testing.T) {
	for want, p := range map[int]token.Policy{
		1:    token.Envoy(),
		2:    token.PanvaJose(), // at 0 s and 30 s
		6000: token.GoOIDC(),
	} {
		from := &issuer{set: setOf(t, token.ES256, "r1")}
		cache := newCache(t, p, from.fetch)
		v, err := token.NewVerifier(token.Settings{Algorithm: token.ES256}, cache)
		require.NoError(t, err)
		payload := goodPayload()
		for n := range 6000 {
			now := start.Add(time.Duration(n) * 10 * time.Millisecond)
			text := dots(encode([]byte(`{"alg":"ES256","kid":"x`+strconv.Itoa(n)+`"}`)),
				encode([]byte(payload)), encode(make([]byte, 64)))
			_, got := verify(t, v, now, text)
			require.Equal(t, token.UnknownKid, got)
		}
		assert.Equal(t, want, from.fetches, p.Kind)
	}
}

// TestBadTokensDoNotFetch has tokens that no set can make good.
func TestBadTokensDoNotFetch(t *testing.T) {
	from := &issuer{set: setOf(t, token.ES256, "r1")}
	v, err := token.NewVerifier(token.Settings{Algorithm: token.ES256},
		newCache(t, token.GoOIDC(), from.fetch))
	require.NoError(t, err)
	for _, head := range []string{
		`{"alg":"none","kid":"r9"}`, `{"alg":"ES256","kid":"../r9"}`, `{"alg":"ES256"}`,
		`{"alg":"ES256","kid":"r9","jku":"http://127.0.0.1"}`, `{"alg":"HS256","kid":"r9"}`,
	} {
		text := dots(encode([]byte(head)), encode([]byte(goodPayload())), "AA")
		_, got := verify(t, v, start, text)
		assert.Contains(t, []token.Outcome{token.WrongAlgorithm, token.MalformedToken}, got)
	}
	assert.Zero(t, from.fetches)
}

// TestSingleFlight has callers that come while a fetch is under way.
func TestSingleFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := setOf(t, token.ES256, "r1"), setOf(t, token.ES256, "r2", "r1")
		answers := make(chan *token.Set)
		var fetches int
		cache := newCache(t, token.GoOIDC(), func(ctx context.Context) (*token.Set, error) {
			fetches++ // one at a time
			select {
			case set := <-answers:
				return set, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		var wg sync.WaitGroup
		ask := func(ctx context.Context, kid string, want error, has bool) {
			wg.Go(func() {
				set, err := cache.Set(ctx, start, kid)
				if assert.ErrorIs(t, err, want) && want == nil {
					assert.Equal(t, has, set.Has(kid))
				}
			})
		}
		for range 10 { // there is no set yet: all wait
			ask(t.Context(), "r1", nil, true)
		}
		synctest.Wait()
		answers <- one
		wg.Wait()
		require.Equal(t, 1, fetches)

		leader, leave := context.WithCancel(t.Context())
		ask(leader, "r2", nil, true)
		synctest.Wait()
		leave() // the fetch goes on: others wait for it
		follower, give := context.WithCancel(t.Context())
		ask(follower, "r2", context.Canceled, false)
		for range 10 {
			ask(t.Context(), "r2", nil, true)
		}
		synctest.Wait()
		give()
		set, err := cache.Set(t.Context(), start, "r1")
		require.NoError(t, err)
		assert.Same(t, one, set, "whose kid is known does not wait")
		answers <- two
		wg.Wait()
		assert.Equal(t, 2, fetches)
		assert.Equal(t, token.State{Last: start, Good: start, Fetches: 2}, cache.Status().State)
	})
}

// TestStaleSetWhileFetching has demands that can do with a set that is too old, and some that may
// not.
func TestStaleSetWhileFetching(t *testing.T) {
	for _, drop := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			sets := make(chan *token.Set, 1)
			p := token.Policy{Kind: token.MaxAge, MaxAge: time.Minute, DropStale: drop}
			cache := newCache(t, p, func(context.Context) (*token.Set, error) {
				return <-sets, nil
			})
			one, two := setOf(t, token.ES256, "r1"), setOf(t, token.ES256, "r2", "r1")
			sets <- one
			_, err := cache.Set(t.Context(), start, "r1")
			require.NoError(t, err)
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = cache.Set(t.Context(), start.Add(time.Minute), "r1") })
			synctest.Wait()
			var got *token.Set
			wg.Go(func() {
				got, err = cache.Set(t.Context(), start.Add(time.Minute), "r1")
			})
			synctest.Wait()
			if drop {
				assert.Nil(t, got, "it waits")
			} else {
				assert.Same(t, one, got)
			}
			sets <- two
			wg.Wait()
			require.NoError(t, err)
			if drop {
				assert.Same(t, two, got)
			}
		})
	}
}

// TestOneFetchOfMany has callers that find at once that there is no set. Those who come to fetch
// when another has just done so must see it.
func TestOneFetchOfMany(t *testing.T) {
	set := setOf(t, token.ES256, "r1")
	for range 300 {
		var fetches atomic.Int64
		cache := newCache(t, token.Envoy(), func(context.Context) (*token.Set, error) {
			fetches.Add(1)
			return set, nil
		})
		var wg sync.WaitGroup
		gate := make(chan struct{})
		for range 8 {
			wg.Go(func() {
				<-gate
				_, err := cache.Set(t.Context(), start, "r1")
				assert.NoError(t, err)
			})
		}
		close(gate)
		wg.Wait()
		require.Equal(t, int64(1), fetches.Load())
	}
}

// TestFetchThatPanics leaves a cache that fetches again.
func TestFetchThatPanics(t *testing.T) {
	bad := true
	cache := newCache(t, token.GoOIDC(), func(context.Context) (*token.Set, error) {
		if bad {
			panic("bad")
		}
		return nil, nil
	})
	assert.Panics(t, func() { _, _ = cache.Set(t.Context(), start, "r1") })
	bad = false
	set, err := cache.Set(t.Context(), start, "r1")
	assert.Nil(t, set)
	got, ok := errors.AsType[*token.SetError](err)
	require.True(t, ok)
	assert.Equal(t, token.Unfetched, got.Problem)
}
