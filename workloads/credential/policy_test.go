package credential_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/certquake/certquake/workloads/credential"
)

const ttl = 5 * time.Minute

func TestPolicyDue(t *testing.T) {
	lazy := credential.Policy{Kind: credential.LazyTTL, Every: ttl}
	poll := credential.Policy{Kind: credential.Poll, Every: ttl}
	watch := credential.Policy{Kind: credential.Watch}
	once := credential.Policy{Kind: credential.WatchOnce}
	startUp := credential.Policy{Kind: credential.StartUp}
	never := credential.State{}
	good := credential.State{Tried: true, At: time.Minute}
	bad := credential.State{Tried: true, At: time.Minute, Failed: true}
	heard := credential.State{Tried: true, At: time.Minute, Events: 1}
	heardBad := credential.State{Tried: true, At: time.Minute, Events: 1, Failed: true}
	demand, fired := credential.Seen{Demand: true}, credential.Seen{Changed: true}
	due := time.Minute + ttl
	rows := []struct {
		name   string
		policy credential.Policy
		state  credential.State
		now    time.Duration
		seen   credential.Seen
		want   bool
	}{
		{"lazy: the first demand", lazy, never, 0, demand, true},
		{"lazy: nobody asks", lazy, never, time.Hour, credential.Seen{}, false},
		{"lazy: fresh", lazy, good, due - 1, demand, false},
		{"lazy: exactly a TTL old", lazy, good, due, demand, true},
		{"lazy: old but nobody asks", lazy, good, time.Hour, credential.Seen{}, false},
		{"lazy: every demand after a failure", lazy, bad, time.Minute, demand, true},
		{"lazy: no watcher", lazy, good, time.Minute, fired, false},
		{"poll: at once, demand or not", poll, never, 0, credential.Seen{}, true},
		{"poll: before the interval", poll, good, due - 1, demand, false},
		{"poll: at the interval without demand", poll, good, due, credential.Seen{}, true},
		{"poll: a failure waits for the interval too", poll, bad, due - 1, demand, false},
		{"watch: the first demand", watch, never, 0, demand, true},
		{"watch: every event", watch, heard, time.Hour, fired, true},
		{"watch: no event", watch, good, time.Hour, demand, false},
		{"watch: the first read failed", watch, bad, time.Hour, demand, true},
		{"watch: a read after an event failed", watch, heardBad, time.Hour, demand, false},
		{"watch-once: the first event", once, good, time.Hour, fired, true},
		{"watch-once: deaf from then on", once, heard, time.Hour, fired, false},
		{"start-up: the first demand", startUp, never, 0, demand, true},
		{"start-up: until it succeeds", startUp, bad, time.Hour, demand, true},
		{"start-up: never again", startUp, good, 1000 * time.Hour, demand, false},
		{"start-up: no watcher", startUp, good, time.Hour, fired, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			assert.Equal(t, row.want, row.policy.Due(row.state, row.now, row.seen))
		})
	}
}

// TestPolicyNext holds Next to its promise: a demand is due from that instant on and not before.
func TestPolicyNext(t *testing.T) {
	states := []credential.State{
		{},
		{Tried: true, At: time.Hour},
		{Tried: true, At: time.Hour, Failed: true},
		{Tried: true, At: time.Hour, Events: 1},
		{Tried: true, At: time.Hour, Events: 1, Failed: true},
	}
	kinds := []credential.PolicyKind{
		credential.LazyTTL, credential.Poll, credential.Watch, credential.WatchOnce,
		credential.StartUp,
	}
	demand := credential.Seen{Demand: true}
	for _, kind := range kinds {
		for _, state := range states {
			p := credential.Policy{Kind: kind, Every: ttl}
			at, ok := p.Next(state)
			if !ok {
				assert.False(t, p.Due(state, 1000*time.Hour, demand), "%s %+v", kind, state)
				continue
			}
			assert.True(t, p.Due(state, at, demand), "%s %+v", kind, state)
			assert.False(t, p.Due(state, at-1, demand), "%s %+v", kind, state)
		}
	}
}

func TestCacheLazyTTL(t *testing.T) {
	ca := newAuthority(t, "ca")
	v := mount(issue(t, ca))
	c := credential.NewCache(v, credential.Settings{},
		credential.Policy{Kind: credential.LazyTTL, Every: ttl})
	first, err := c.Get(0)
	require.NoError(t, err)
	v.Project("2", issue(t, ca))
	c.Notify(time.Second)
	c.Tick(time.Hour)
	same, err := c.Get(ttl - 1)
	require.NoError(t, err)
	assert.Same(t, first, same)
	second, err := c.Get(ttl)
	require.NoError(t, err)
	assert.Equal(t, "..2", second.Version)
	third, err := c.Get(2 * ttl)
	require.NoError(t, err)
	assert.NotSame(t, second, third, "equal files make a new context too")
}

func TestCacheFailure(t *testing.T) {
	ca := newAuthority(t, "ca")
	for name, keep := range map[string]bool{"Akka drops": false, "keep last good": true} {
		t.Run(name, func(t *testing.T) {
			v := mount(issue(t, ca))
			c := credential.NewCache(v, credential.Settings{}, credential.Policy{
				Kind: credential.LazyTTL, Every: ttl, KeepLastGood: keep,
			})
			good, err := c.Get(0)
			require.NoError(t, err)
			v.Project("2", map[string][]byte{"ca.crt": {}})
			got, err := c.Get(ttl)
			assert.Equal(t, !keep, err != nil)
			assert.Equal(t, keep, got == good)
			_, last := c.Last()
			require.Error(t, last)
			assert.True(t, c.State().Failed)

			v.Project("3", issue(t, ca))
			got, err = c.Get(ttl)
			require.NoError(t, err, "the next demand retries at once")
			assert.Equal(t, "..3", got.Version)
		})
	}
}

func TestCacheKinds(t *testing.T) {
	ca := newAuthority(t, "ca")
	rows := []struct {
		kind credential.PolicyKind
		want [3]string // versions served after each of three swaps
	}{
		{credential.LazyTTL, [3]string{"..1", "..2", "..3"}},
		{credential.Poll, [3]string{"..1", "..2", "..3"}},
		{credential.Watch, [3]string{"..1", "..2", "..3"}},
		{credential.WatchOnce, [3]string{"..1", "..2", "..2"}},
		{credential.StartUp, [3]string{"..1", "..1", "..1"}},
	}
	for _, row := range rows {
		t.Run(string(row.kind), func(t *testing.T) {
			v := credential.NewVolume()
			c := credential.NewCache(v, credential.Settings{},
				credential.Policy{Kind: row.kind, Every: ttl})
			for i, want := range row.want {
				v.Project([]string{"1", "2", "3"}[i], issue(t, ca))
				now := time.Duration(i) * ttl
				if i > 0 {
					c.Notify(now)
				}
				c.Tick(now)
				m, err := c.Get(now)
				require.NoError(t, err)
				assert.Equal(t, want, m.Version)
			}
		})
	}
}

func TestCacheConcurrently(t *testing.T) {
	c := credential.NewCache(mount(issue(t, newAuthority(t, "ca"))), credential.Settings{},
		credential.Policy{Kind: credential.LazyTTL, Every: ttl})
	got := make(chan *credential.Material)
	for range 8 {
		go func() {
			m, _ := c.Get(0)
			got <- m
		}()
	}
	first := <-got
	require.NotNil(t, first)
	for range 7 {
		assert.Same(t, first, <-got)
	}
}
